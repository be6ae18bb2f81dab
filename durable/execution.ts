import { setImmediate } from "node:timers";
import { toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../client/clock.ts";
import { getLogger } from "@logtape/logtape";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { blocked, cancelled, completed, failed, released, suspended } from "./_entries.ts";
import { Replay } from "./_replay.ts";
import { runStep, type Step, type StepHost } from "./_step.ts";
import { createContext } from "./_context.ts";
import { toFailure } from "./failure.ts";
import { type Entry, EntrySchema } from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { Journal, Writer } from "./journal.ts";
import { fromPayload, toPayload } from "./payload.ts";
import type { AnyWorkflow } from "./workflow.ts";

const logger = getLogger(["jsflow", "durable"]);

/** Why an execution stopped. */
export type Stop =
  | "terminal"
  | "suspended"
  | "blocked"
  | "released"
  /** A newer claim exists: touch nothing. */
  | "fenced"
  /** The journal can't be trusted: append nothing. */
  | "quarantined";

/** What an execution needs from the worker. */
export interface ExecutionOptions {
  readonly workflow: AnyWorkflow;
  readonly id: string;
  readonly journal: Journal;
  /** The claim that it runs under. */
  readonly writer: Writer;
  readonly clock: Clock;
  readonly random: () => number;
  /** Bytes of entries that fit into one record. */
  readonly maxRecordBytes: number;
  /** Milliseconds after which code that doesn't repeat the journal's operations is blocked. */
  readonly replayStallMs: number;
  /** Aborts at the worker's deadline: stop at once. */
  readonly signal: AbortSignal;
}

/**
 * Runs one invocation under one claim, from replay to its end.
 *
 * A single loop owns the journal. It hands outcomes to the code, waits until the code comes to
 * rest, appends what there is to append as one record, and only then lets new steps begin: so a
 * step's outcome is durable before the next effect starts, and the last outcome shares its record
 * with the end of the invocation.
 */
export class Execution {
  readonly #options: ExecutionOptions;
  readonly #stopped = new AbortController();
  readonly #cancelled = new AbortController();
  readonly #steps: AbortSignal;
  readonly #running = new Set<number>();
  /** Made here, not yet in the journal; in the order in which it was handed to the code. */
  #outbox: Outgoing[] = [];
  /** How many entries of the outbox the code has already seen. */
  #shown = 0;
  #replay: Replay;
  #wake: () => void = () => {};
  #awake = false;
  #releasing: "no" | "soon" | "now" = "no";
  #refresh = false;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    this.#steps = AbortSignal.any([this.#stopped.signal, this.#cancelled.signal]);
    this.#replay = this.#newReplay();
  }

  /** Name of the claim's owner. */
  get owner(): string {
    return this.#options.writer.owner;
  }

  /** Runs until there is nothing more to do under this claim. */
  async run(): Promise<Stop> {
    const { signal } = this.#options;
    const stop = () => this.#notify();
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await this.#loop();
    } finally {
      signal.removeEventListener("abort", stop);
      this.#replay.abandon();
      this.#stopped.abort(new JsflowError("fenced", "the execution has stopped"));
    }
  }

  /**
   * Hand over: begin no further step, and stop when those that run are in the journal, or at once
   * when `force` is set.
   */
  release({ force }: { readonly force: boolean }): void {
    this.#releasing = force ? "now" : "soon";
    this.#notify();
  }

  /** Look at the end of the journal soon: an event may be waiting there. */
  refresh(): void {
    this.#refresh = true;
    this.#notify();
  }

  async #loop(): Promise<Stop> {
    const { journal, signal } = this.#options;
    for (;;) {
      if (this.#refresh) await this.#readTail();
      const { state } = journal;
      if (state.fault) return "quarantined";
      if (!this.#owns()) return "fenced";
      if (state.status !== "active") throw new Error(`owned but ${state.status}`);
      signal.throwIfAborted();
      const caughtUp = await this.#deliver();
      const entries = this.#collect(caughtUp);
      if (entries.length > 0) {
        const stop = await this.#commit(entries);
        if (stop) return stop;
      } else if (caughtUp) {
        this.#startReady();
        await this.#sleep();
      }
    }
  }

  #owns(): boolean {
    const { journal: { state }, writer } = this.#options;
    return state.epoch === writer.epoch && state.owner === writer.owner;
  }

  async #readTail(): Promise<void> {
    this.#refresh = false;
    const before = this.#options.journal.state.timeline.length;
    await this.#options.journal.refresh(this.#options.signal);
    this.#adopt(before);
  }

  /** Entries of others came first. What the code was shown too early, it must see in order. */
  #adopt(timelineLength: number): void {
    const { timeline } = this.#options.journal.state;
    if (timeline.length === timelineLength || this.#shown === 0) return;
    this.#replay.abandon();
    this.#replay = this.#newReplay();
    this.#shown = 0;
  }

  // ------------------------------------------------------------------ handing outcomes to the code

  #newReplay(): Replay {
    const { journal, workflow } = this.#options;
    const replay = new Replay(journal.state, {
      changed: () => this.#notify(),
      hasBegun: (index) => this.#hasBegun(index),
    });
    const context = createContext({
      ...this.#options,
      isReplaying: () => replay.cursor < journal.state.timeline.length,
      issue: (request) => replay.issue(request),
      startStep: (step) => this.#startStep(step),
    });
    const start = journal.state.started?.start;
    replay.begin(() => workflow.run(context, fromPayload(workflow.input, start?.input)));
    return replay;
  }

  /**
   * Delivers all that can be delivered; false when the journal holds an outcome for an operation
   * that the code has not asked for.
   */
  async #deliver(): Promise<boolean> {
    await rest();
    for (let entry = this.#nextEntry(); entry; entry = this.#nextEntry()) {
      if (this.#replay.mismatch) return true;
      if (!this.#replay.deliver(entry)) return await this.#stalled(entry);
      if (this.#replay.cancelled) this.#cancelled.abort(this.#replay.cancelled);
      if (this.#replay.cursor < this.#options.journal.state.timeline.length) this.#replay.cursor++;
      else this.#shown++;
      await rest();
    }
    return true;
  }

  #nextEntry(): Entry | undefined {
    return this.#options.journal.state.timeline[this.#replay.cursor] ??
      this.#outbox[this.#shown]?.entry;
  }

  /** The code may still be computing; give it some time, then call it a mismatch. */
  async #stalled(entry: Entry): Promise<boolean> {
    const { clock, replayStallMs, signal } = this.#options;
    const { settled, issued } = this.#replay;
    if (!settled) {
      const deadline = clock.monotonic() + replayStallMs;
      while (this.#replay.issued === issued && !this.#replay.settled) {
        const restMs = deadline - clock.monotonic();
        if (restMs <= 0 || signal.aborted) break;
        await this.#sleep(restMs);
      }
      if (this.#replay.issued !== issued || this.#replay.settled || signal.aborted) return false;
    }
    const how = settled ? "ended without" : "does not ask for";
    const op = entry.kind.case === "outcome" ? entry.kind.value.op : undefined;
    this.#replay.fail(entry, `the code ${how} operation ${op?.index}, which the journal holds`);
    return true;
  }

  // ------------------------------------------------------------------ appending

  /** What to append now: outcomes the code has seen, and the end if there is one. */
  #collect(caughtUp: boolean): Entry[] {
    if (!caughtUp) return [];
    const { mismatch, settled } = this.#replay;
    const { entries, bytes, all } = this.#fitting();
    if (!all) return entries;
    if (mismatch) return [...entries, blocked(mismatch)];
    if (settled) {
      const ending = this.#ending(settled);
      const alone = bytes > 0 && bytes + entryBytes(ending) > this.#options.maxRecordBytes;
      return alone ? entries : [...entries, ending];
    }
    if (this.#releasing === "now") return [...entries, released("the worker is closing")];
    if (this.#running.size > 0) return entries;
    if (this.#options.journal.state.pauseRequested) return [...entries, suspended()];
    if (this.#releasing === "soon") return [...entries, released("the worker is closing")];
    return entries;
  }

  /** As many shown entries as one record can carry. */
  #fitting(): { entries: Entry[]; bytes: number; all: boolean } {
    const entries: Entry[] = [];
    let bytes = 0;
    for (const { entry } of this.#outbox.slice(0, this.#shown)) {
      bytes += entryBytes(entry);
      const over = entries.length > 0 && bytes > this.#options.maxRecordBytes;
      if (over) return { entries, bytes, all: false };
      entries.push(entry);
    }
    return { entries, bytes, all: true };
  }

  #ending(settled: NonNullable<Replay["settled"]>): Entry {
    const { workflow, maxRecordBytes, journal } = this.#options;
    if (settled.ok) {
      try {
        const output = toPayload(workflow.output, settled.value);
        if (output.data.byteLength <= maxRecordBytes) return completed(output);
        return failed(toFailure(resultTooLarge(output.data.byteLength, maxRecordBytes)));
      } catch (error) {
        return failed(toFailure(error));
      }
    }
    if (isJsflowError(settled.error, "invocation_cancelled") && this.#replay.cancelled) {
      return cancelled(journal.state.cancelReason ?? "");
    }
    return failed(toFailure(settled.error));
  }

  async #commit(entries: readonly Entry[]): Promise<Stop | undefined> {
    const { journal, writer, signal } = this.#options;
    const before = journal.state.timeline.length;
    if (!await journal.append(entries, writer, signal)) {
      this.#adopt(before);
      return undefined;
    }
    // Written, as the tail showed, but taken over since: not even a retry may go on.
    if (!this.#owns()) return "fenced";
    const written = this.#outbox.splice(0, Math.min(entries.length, this.#shown));
    this.#shown -= written.length;
    this.#replay.cursor += written.filter(({ entry }) => outcomeIndex(entry) !== undefined).length;
    for (const { committed } of written) committed();
    const stop = stopOf(entries.at(-1));
    if (stop === "terminal") this.#reportForgotten();
    return stop;
  }

  // ------------------------------------------------------------------ steps

  /** Begins what the code has asked for: all that came before it is in the journal. */
  #startReady(): void {
    const { pauseRequested } = this.#options.journal.state;
    if (pauseRequested || this.#releasing !== "no") return;
    for (const operation of this.#replay.ready.splice(0)) operation.start();
  }

  /** After a second pass over the journal a step may still be running from the first. */
  #hasBegun(index: number): boolean {
    return this.#running.has(index) ||
      this.#outbox.some(({ entry }) => outcomeIndex(entry) === index);
  }

  #startStep(step: Step): void {
    if (this.#hasBegun(step.index)) return;
    this.#running.add(step.index);
    const { attempts } = this.#options.journal.state;
    void runStep(step, attempts.get(step.index), this.#host()).then(
      (entry) => {
        this.#running.delete(step.index);
        this.#send(entry, () => {});
      },
      // Only when the execution has stopped: whoever takes over attempts the step again.
      () => this.#running.delete(step.index),
    );
  }

  #reportForgotten(): void {
    const { workflow, id } = this.#options;
    const steps = [...this.#running, ...this.#replay.ready.map(({ index }) => index)];
    if (steps.length === 0) return;
    logger.warn("{workflow}/{id} ended before its steps {steps}: nobody awaited them", {
      workflow: workflow.name,
      id,
      steps,
    });
  }

  #host(): StepHost {
    const { clock, random, maxRecordBytes } = this.#options;
    return {
      clock,
      random,
      signal: this.#steps,
      stopped: this.#stopped.signal,
      maxValueBytes: maxRecordBytes,
      record: (entry: Entry) => new Promise<void>((resolve) => this.#send(entry, resolve)),
    };
  }

  #send(entry: Entry, committed: () => void): void {
    this.#outbox.push({ entry, committed });
    this.#notify();
  }

  // ------------------------------------------------------------------ waiting

  #notify(): void {
    this.#awake = true;
    this.#wake();
  }

  /** Until something happens, or the time is over. */
  async #sleep(ms?: number): Promise<void> {
    if (!this.#awake) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
    }
    this.#awake = false;
  }
}

interface Outgoing {
  readonly entry: Entry;
  /** Called once the entry is in the journal. */
  readonly committed: () => void;
}

/** Tag and length of an entry within its record. */
const ENTRY_OVERHEAD_BYTES = 8;

function entryBytes(entry: Entry): number {
  return toBinary(EntrySchema, entry).byteLength + ENTRY_OVERHEAD_BYTES;
}

/** Lets the code run on until it has nothing left to do but wait. */
function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function outcomeIndex({ kind }: Entry): number | undefined {
  return kind.case === "outcome" ? kind.value.op?.index ?? 0 : undefined;
}

function stopOf(last: Entry | undefined): Stop | undefined {
  switch (last?.kind.case) {
    case "completed":
    case "failed":
    case "cancelled":
      return "terminal";
    case "suspended":
    case "blocked":
    case "released":
      return last.kind.case;
  }
}

function resultTooLarge(bytes: number, maxBytes: number): JsflowError {
  return new JsflowError(
    "payload_too_large",
    `cannot journal the result of the workflow: ${bytes} bytes, at most ${maxBytes} fit; return a ` +
      `reference to it, or raise the server's max_payload`,
  );
}
