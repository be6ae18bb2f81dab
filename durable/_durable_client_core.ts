import { create, fromBinary } from "@bufbuild/protobuf";
import type { Client } from "../client/client.ts";
import type { Clock } from "../client/clock.ts";
import { timeoutError, untilAborted, withDeadline } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { translateError } from "../client/translate_error.ts";
import { encodeCommand } from "./command.ts";
import { ensureNamespace, type OpenNamespace, type StorageOptions } from "./ensure_namespace.ts";
import {
  type Event,
  type Outcome,
  OutcomeSchema,
  PartySchema,
  StartSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import { Invocation } from "./_invocation.ts";
import type { InvocationHandle } from "./invocation_handle.ts";
import { JournalStore } from "./journal_store.ts";
import type { Namespace } from "./namespace.ts";
import { toPayload } from "./payload.ts";
import { ReplyInbox } from "./_reply_inbox.ts";
import type { WorkflowRef } from "./workflow.ts";

/** Everything that a durable client is made of, checked. */
export interface DurableClientCoreOptions {
  readonly client: Client;
  readonly names: Namespace;
  readonly storage: StorageOptions & { readonly namespace?: string | undefined };
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

/** Headers and envelope of a command and of the record that repeats it. */
const COMMAND_MARGIN_BYTES = 8_192;
const PUBLISH_TIMEOUT_MS = 2_000;
const RETRY: RetryPolicy = { attempts: Infinity, initialMs: 50, factor: 2, maxMs: 1_000 };

/** Publishes commands and hands out handles. */
export class DurableClientCore {
  readonly options: DurableClientCoreOptions;
  readonly inbox: ReplyInbox;
  readonly store: JournalStore;
  readonly #served = new Set<string>();
  #space: Promise<OpenNamespace> | undefined;

  constructor(options: DurableClientCoreOptions) {
    this.options = options;
    this.inbox = new ReplyInbox(options.client.connection);
    this.store = new JournalStore(options.client, options.names.journal);
  }

  /** The namespace, opened at the first call. */
  async space(): Promise<OpenNamespace> {
    const { client, names, storage } = this.options;
    this.#space ??= ensureNamespace(client, names.name, storage);
    try {
      return await this.#space;
    } catch (error) {
      this.#space = undefined;
      throw error;
    }
  }

  async start<I, O>(
    workflow: WorkflowRef<I, O>,
    id: string,
    input: I,
    bounds: CallBounds,
  ): Promise<InvocationHandle<O>> {
    const payload = toPayload(workflow.input, input);
    this.#checkSize(workflow, id, payload.data.byteLength);
    const { names, clock, newId } = this.options;
    const action = `start ${workflow.name}/${id}`;
    return await this.bounded(action, bounds, async (signal) => {
      const space = await untilAborted(this.space(), signal);
      await this.#checkServed(space, workflow);
      const slot = this.inbox.open();
      const start = create(StartSchema, {
        input: payload,
        party: create(PartySchema, { kind: { case: "inbox", value: slot.subject } }),
        queue: workflow.queue,
        createdMs: BigInt(clock.now()),
      });
      const bytes = encodeCommand({ workflow: workflow.name, id }, { case: "start", value: start });
      try {
        const subject = names.startSubject(workflow, id, undefined);
        await this.#publish(action, subject, bytes, `start/${newId()}`, signal);
      } catch (error) {
        slot.close();
        throw error;
      }
      return new Invocation<O>(this, workflow, id, slot.reply.then(decodeOutcome));
    });
  }

  handle<I, O>(workflow: WorkflowRef<I, O>, id: string): InvocationHandle<O> {
    return new Invocation<O>(this, workflow, id, undefined);
  }

  /** Publishes an event of an invocation; stored once, however often it is tried. */
  async sendEvent(
    workflow: WorkflowRef<unknown, unknown>,
    id: string,
    event: Event,
    confirm: string,
    signal: AbortSignal,
  ): Promise<void> {
    const subject = this.options.names.eventSubject(workflow, id);
    const target = { workflow: workflow.name, id, confirm };
    const bytes = encodeCommand(target, { case: "event", value: event });
    await this.#publish(`reach ${workflow.name}/${id}`, subject, bytes, event.id, signal);
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
    const onTimeout = () => timeoutError(action, timeoutMs);
    return await withDeadline({ signal, timeoutMs, onTimeout }, work);
  }

  close(): Promise<void> {
    this.inbox.close();
    return Promise.resolve();
  }

  /** Tries until it is known that the command is stored; the message id makes that harmless. */
  async #publish(
    action: string,
    subject: string,
    bytes: Uint8Array,
    msgID: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, random } = this.options;
    for (let failures = 1;; failures++) {
      signal.throwIfAborted();
      try {
        await client.jetstream.publish(subject, bytes, {
          msgID,
          timeout: PUBLISH_TIMEOUT_MS,
          retries: 1,
        });
        return;
      } catch (error) {
        const translated = translateError(error, action);
        if (!isPassing(translated)) throw translated;
      }
      await clock.sleep(retryDelayMs(RETRY, failures, random) ?? 0, signal);
    }
  }

  #checkSize<I, O>(workflow: WorkflowRef<I, O>, id: string, bytes: number): void {
    const max = this.options.client.maxPayloadBytes - COMMAND_MARGIN_BYTES;
    if (bytes <= max) return;
    throw new JsflowError(
      "payload_too_large",
      `cannot start ${workflow.name}/${id}: its input has ${bytes} bytes, at most ${max} fit; pass a ` +
        `reference to it, or raise the server's max_payload`,
    );
  }

  /** A reference has no code behind it: somebody must have served its queue at least once. */
  async #checkServed<I, O>(space: OpenNamespace, workflow: WorkflowRef<I, O>): Promise<void> {
    if ("run" in workflow || this.#served.has(workflow.queue)) return;
    const { names, manager } = space;
    try {
      await manager.consumers.info(names.commands, names.laneConsumer(workflow.queue, "start"));
      this.#served.add(workflow.queue);
    } catch (error) {
      const translated = translateError(error, `look up the workers of "${workflow.name}"`);
      if (!isJsflowError(translated, "consumer_not_found")) throw translated;
      throw new JsflowError(
        "unknown_workflow",
        `cannot start "${workflow.name}": no worker of namespace "${names.name}" has ever served ` +
          `queue "${workflow.queue}"; check the name and the namespace, or start a worker first`,
      );
    }
  }
}

function decodeOutcome(bytes: Uint8Array): Outcome {
  return fromBinary(OutcomeSchema, bytes);
}

/** Failures of the moment: the server restarts, a leader is elected, an ack was lost. */
function isPassing(error: Error): boolean {
  return isJsflowError(error, "timeout") || isJsflowError(error, "no_responders") ||
    isJsflowError(error, "jetstream_unavailable") || isJsflowError(error, "not_connected") ||
    isJsflowError(error, "sequence_conflict");
}
