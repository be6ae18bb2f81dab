import type { Client } from "../client/client.ts";
import type { Clock } from "../client/clock.ts";
import { timeoutError, untilAborted, withDeadline } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { translateError } from "../client/translate_error.ts";
import { ensureNamespace, type OpenNamespace, type StorageSettings } from "./ensure_namespace.ts";
import { JournalStore } from "./journal_store.ts";
import type { Namespace } from "./namespace.ts";
import { ReplyInbox } from "./_reply_inbox.ts";
import { untilAnswered } from "./_until_answered.ts";

/** Everything that a durable client is made of, checked. */
export interface ServerLinkOptions {
  readonly client: Client;
  readonly names: Namespace;
  readonly storage: StorageSettings;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
}

/** Bounds of one call. */
export interface CallBounds {
  readonly signal: AbortSignal | undefined;
  /** Undefined for a call that waits for ever. */
  readonly timeoutMs: number | undefined;
}

const PUBLISH_TIMEOUT_MS = 2_000;

/** What a durable client and its handles share: the namespace, the reply inbox, the journals. */
export class ServerLink {
  readonly options: ServerLinkOptions;
  readonly inbox: ReplyInbox;
  readonly store: JournalStore;
  #space: Promise<OpenNamespace> | undefined;
  #lastFailure: { readonly action: string; readonly error: unknown } | undefined;

  constructor(options: ServerLinkOptions) {
    this.options = options;
    this.inbox = new ReplyInbox(options.client.connection);
    this.store = new JournalStore(options.client, options.names.journal);
  }

  /** The namespace, opened at the first call. */
  async space(): Promise<OpenNamespace> {
    const { client, names, storage } = this.options;
    this.#space ??= ensureNamespace(client, names, storage);
    try {
      return await this.#space;
    } catch (error) {
      this.#space = undefined;
      throw error;
    }
  }

  /** Runs a call under the caller's signal and its deadline. */
  async bounded<T>(
    action: string,
    { signal, timeoutMs }: CallBounds,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (timeoutMs === undefined) {
      const forever = signal ?? new AbortController().signal;
      forever.throwIfAborted();
      return await untilAborted(work(forever), forever);
    }
    const onTimeout = () => this.#timeoutError(action, timeoutMs);
    return await withDeadline({ signal, timeoutMs, onTimeout }, work);
  }

  /** Says what the server answered last, where it answered at all. */
  #timeoutError(action: string, timeoutMs: number): JsflowError {
    const last = this.#lastFailure?.action === action ? this.#lastFailure.error : undefined;
    if (!(last instanceof JsflowError) || last.code === "timeout") {
      return timeoutError(action, timeoutMs);
    }
    const message = `cannot ${action} within ${timeoutMs} ms; the last try failed: ${last.message}`;
    return new JsflowError("timeout", message, { cause: last });
  }

  /** Whether the command stream holds a command of this subject. */
  async isQueued(subject: string, signal: AbortSignal): Promise<boolean> {
    const { manager, names } = await untilAborted(this.space(), signal);
    return await untilAnswered(this.options, signal, async () => {
      try {
        const found = await manager.streams.getMessage(names.commands, { last_by_subj: subject });
        return found !== null;
      } catch (error) {
        throw translateError(error, `look for ${subject}`);
      }
    });
  }

  /** Tries until it is known that the command is stored; the message id makes that harmless. */
  async publish(
    action: string,
    command: { readonly subject: string; readonly bytes: Uint8Array; readonly msgID: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.options;
    const { subject, bytes, msgID } = command;
    const onFailure = (error: unknown) => this.#lastFailure = { action, error };
    await untilAnswered({ ...this.options, onFailure }, signal, async () => {
      try {
        const settings = { msgID, timeout: PUBLISH_TIMEOUT_MS, retries: 1 };
        await client.jetstream.publish(subject, bytes, settings);
      } catch (error) {
        throw translateError(error, action);
      }
    });
  }
}
