import { create } from "@bufbuild/protobuf";
import type { Subscription } from "@nats-io/nats-core";
import { untilAborted } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { checkDurationMs, checkOptions, checkSignal, checkString } from "../client/validate.ts";
import { encodeCommand } from "./command.ts";
import { InvocationFailedError } from "./errors.ts";
import { failureInfo } from "./failure.ts";
import { toOutcome } from "./_finalise.ts";
import {
  CancelSchema,
  type Event,
  EventSchema,
  type Outcome,
  PauseSchema,
  ResumeSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import {
  type CancelOptions,
  DEFAULT_CALL_TIMEOUT_MS,
  type InvocationHandle,
  type WaitOptions,
} from "./invocation_handle.ts";
import { Journal } from "./journal.ts";
import { decodeRecord, type JournalEvent, toJournalEvents } from "./journal_event.ts";
import type { JournalState } from "./journal_state.ts";
import { fromPayload } from "./payload.ts";
import type { CallBounds, ServerLink } from "./_server_link.ts";
import { type InvocationSummary, readSummary, summarise } from "./summary.ts";
import { isFinal, untilAnswered } from "./_until_answered.ts";
import type { WorkflowRef } from "./workflow.ts";

/** Milliseconds that a reply may take before the stored state is looked at. */
const PATIENCE_MS = 1_000;

/** How often to look for a result whose reply may have been lost. */
const POLL: RetryPolicy = { attempts: Infinity, initialMs: 500, factor: 2, maxMs: 10_000 };

/** The handle of one invocation. */
export class Invocation<O> implements InvocationHandle<O> {
  readonly workflow: string;
  readonly id: string;
  readonly #link: ServerLink;
  readonly #ref: WorkflowRef<unknown, O>;
  /** Whether a reply may come; it ends up in the outcome and wakes those who wait. */
  readonly #expectsReply: boolean;
  readonly #waiters = new Set<() => void>();
  #outcome: Outcome | undefined;

  constructor(
    link: ServerLink,
    ref: WorkflowRef<never, O> | WorkflowRef<unknown, O>,
    id: string,
    reply: Promise<Outcome> | undefined,
  ) {
    this.#link = link;
    this.#ref = ref as WorkflowRef<unknown, O>;
    this.workflow = ref.name;
    this.id = id;
    this.#expectsReply = reply !== undefined;
    reply?.then((outcome) => {
      this.#outcome = outcome;
      for (const wake of this.#waiters) wake();
    }, () => {});
  }

  async result(options: WaitOptions = {}): Promise<O> {
    const bounds = checkWait("result", options, undefined);
    const what = `get the result of ${this.workflow}/${this.id}`;
    this.#outcome ??= await this.#link.bounded(what, bounds, (signal) => this.#ended(signal));
    return this.#decode(this.#outcome);
  }

  async status(options: WaitOptions = {}): Promise<InvocationSummary> {
    const bounds = checkWait("status", options, DEFAULT_CALL_TIMEOUT_MS);
    return await this.#link.bounded(`read ${this.workflow}/${this.id}`, bounds, async (signal) => {
      const state = await this.#fold(signal);
      if (state.status === "absent" && !state.fault) return await this.#notBegun(signal);
      return summarise(this.workflow, this.id, state);
    });
  }

  /** Nothing in the journal: the start is queued, or has just been taken, or never came. */
  async #notBegun(signal: AbortSignal): Promise<InvocationSummary> {
    const { names } = this.#link.options;
    const queued = await this.#link.isQueued(names.startSubject(this.#ref, this.id), signal);
    const state = await this.#fold(signal);
    if (queued || state.status !== "absent") return summarise(this.workflow, this.id, state);
    throw new JsflowError(
      "invocation_not_found",
      `${this.workflow}/${this.id} is not known: it was never started, or was removed; check the ` +
        `workflow's name, the id and the namespace "${names.name}"`,
    );
  }

  async *journal(options: WaitOptions = {}): AsyncIterable<JournalEvent> {
    const bounds = checkWait("journal", options, DEFAULT_CALL_TIMEOUT_MS);
    const what = `read the journal of ${this.workflow}/${this.id}`;
    for (let from = 1;;) {
      const record = await this.#link.bounded(what, bounds, async (signal) => {
        await untilAborted(this.#link.space(), signal);
        return await this.#link.store.next(this.#subject, from);
      });
      if (!record) return;
      yield* toJournalEvents(record.seq, record.bytes);
      from = record.seq + 1;
    }
  }

  async pause(options: WaitOptions = {}): Promise<void> {
    const value = create(PauseSchema);
    await this.#send("pause", options, { case: "pause", value });
  }

  async resume(options: WaitOptions = {}): Promise<void> {
    const value = create(ResumeSchema);
    await this.#send("resume", options, { case: "resume", value });
  }

  async cancel(options: CancelOptions = {}): Promise<void> {
    checkOptions("cancel", options, ["signal", "timeoutMs", "reason"]);
    const { reason = "", signal, timeoutMs } = options;
    checkString("reason", reason, { minLength: 0, maxLength: 1_000 });
    const value = create(CancelSchema, { reason: reason.toWellFormed() });
    await this.#send("cancel", { signal, timeoutMs }, { case: "cancel", value });
  }

  /** Resolves when the event is in the journal, by the worker's word or by looking. */
  async #send(name: string, options: WaitOptions, kind: Event["kind"]): Promise<void> {
    const bounds = checkWait(name, options, DEFAULT_CALL_TIMEOUT_MS);
    const event = create(EventSchema, { id: this.#link.options.newId(), kind });
    const slot = this.#link.inbox.open();
    try {
      await this.#link.bounded(`${name} ${this.workflow}/${this.id}`, bounds, async (signal) => {
        await untilAborted(this.#link.space(), signal);
        await this.#publish(name, event, slot.subject, signal);
        if (await untilAborted(within(slot.reply, PATIENCE_MS), signal)) return;
        await this.#poll(signal, async () => await this.#holds(event.id, signal) || undefined);
      });
    } finally {
      slot.close();
    }
  }

  async #publish(
    name: string,
    event: Event,
    confirm: string,
    signal: AbortSignal,
  ): Promise<void> {
    const target = { workflow: this.workflow, id: this.id, confirm };
    const command = {
      subject: this.#link.options.names.eventSubject(this.#ref, this.id),
      bytes: encodeCommand(target, { case: "event", value: event }),
      msgID: event.id,
    };
    await this.#link.publish(`${name} ${this.workflow}/${this.id}`, command, signal);
  }

  async #holds(eventId: string, signal: AbortSignal): Promise<boolean> {
    const state = await this.#fold(signal);
    return state.eventIds.has(eventId) || state.terminal !== undefined;
  }

  /** The reply, or what the state bucket says should the reply be late or lost. */
  async #ended(signal: AbortSignal): Promise<Outcome> {
    const { promise: replied, resolve } = Promise.withResolvers<void>();
    this.#waiters.add(resolve);
    const done = new AbortController();
    const either = AbortSignal.any([signal, done.signal]);
    let subscription: Subscription | undefined;
    try {
      if (this.#expectsReply) await untilAborted(within(replied, PATIENCE_MS), signal);
      if (this.#outcome) return this.#outcome;
      const { options } = this.#link;
      const space = await untilAnswered(options, either, () => this.#link.space());
      const nudge = this.#subscribe(space.names.stateBucket);
      subscription = nudge.subscription;
      const look = async () => this.#outcome ?? await this.#stored();
      const changed = () => Promise.race([replied, nudge.changed()]);
      return await untilAborted(this.#poll(either, look, changed), signal);
    } finally {
      this.#waiters.delete(resolve);
      done.abort();
      subscription?.unsubscribe();
    }
  }

  /** A plain subscription to the summary's subject: cheaper for the server than a watch. */
  #subscribe(
    bucket: string,
  ): { readonly subscription: Subscription; readonly changed: () => Promise<void> } {
    let next = Promise.withResolvers<void>();
    const key = this.#link.options.names.stateKey(this.workflow, this.id);
    const subscription = this.#link.options.client.connection.subscribe(`$KV.${bucket}.${key}`, {
      callback: () => {
        next.resolve();
        next = Promise.withResolvers();
      },
    });
    return { subscription, changed: () => next.promise };
  }

  /** Looks again and again, at once when something changed, until there is an answer. */
  async #poll<T>(
    signal: AbortSignal,
    look: () => Promise<T | undefined>,
    changed?: () => Promise<void>,
  ): Promise<T> {
    const { random } = this.#link.options;
    for (let looks = 1;; looks++) {
      signal.throwIfAborted();
      const change = changed?.();
      const found = await look().catch(ignorePassing);
      if (found !== undefined) return found;
      await this.#pause(retryDelayMs(POLL, looks, random) ?? 0, change, signal);
    }
  }

  async #pause(
    ms: number,
    change: Promise<void> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#link.options;
    if (!change) return await clock.sleep(ms, signal);
    const over = new AbortController();
    const slept = clock.sleep(ms, AbortSignal.any([signal, over.signal]));
    slept.catch(() => {});
    try {
      await Promise.race([slept, change]);
    } finally {
      over.abort();
    }
  }

  async #stored(): Promise<Outcome | undefined> {
    const { states, names } = await this.#link.space();
    const stored = await readSummary(states, names.stateKey(this.workflow, this.id));
    const seq = stored?.summary.terminalSeq;
    if (!seq) return undefined;
    const record = await this.#link.store.at(seq);
    // After a restore another invocation's record may stand at this sequence.
    if (record?.subject !== this.#subject) return undefined;
    const { entries } = decodeRecord(seq, record.bytes);
    const outcomes = entries.map((entry) => toOutcome(this, seq, entry));
    return outcomes.find((outcome) => outcome !== undefined);
  }

  async #fold(signal: AbortSignal): Promise<JournalState> {
    await untilAborted(this.#link.space(), signal);
    const { options, store } = this.#link;
    const journal = new Journal(this.#subject, { ...options, store });
    await journal.load(signal);
    return journal.state;
  }

  get #subject(): string {
    return this.#link.options.names.journalSubject(this.workflow, this.id);
  }

  #decode({ result }: Outcome): O {
    switch (result.case) {
      case "completed":
        return fromPayload(this.#ref.output, result.value.output);
      case "failed":
        throw new InvocationFailedError(this.workflow, this.id, failureInfo(result.value.error));
      default:
        throw new JsflowError(
          "invocation_cancelled",
          `${this.workflow}/${this.id} was cancelled: ${result.value?.reason || "no reason given"}`,
        );
    }
  }
}

/** The value, or undefined when it takes longer. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  try {
    return await Promise.race([promise, late]) ?? undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** The server may be away for a moment. */
function ignorePassing(error: unknown): undefined {
  if (isFinal(error)) throw error;
}

/** Without a default the call waits for ever. */
function checkWait(what: string, options: WaitOptions, defaultMs: number | undefined): CallBounds {
  const { signal, timeoutMs = defaultMs } = checkOptions(what, options, ["signal", "timeoutMs"]);
  if (timeoutMs !== undefined) checkDurationMs("timeoutMs", timeoutMs, { min: 1 });
  return { signal: checkSignal("signal", signal), timeoutMs };
}
