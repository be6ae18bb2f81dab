import process from "node:process";
import { setImmediate } from "node:timers";
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../client/clock.ts";
import { JsflowError } from "../client/errors.ts";
import { endingOf } from "./_ending.ts";
import { blocked, cancelled, released, suspended } from "./_entries.ts";
import { Replay } from "./_replay.ts";
import { runStep, type Step, type StepHost } from "./_step.ts";
import { Bell } from "./_bell.ts";
import { createContext } from "./_context.ts";
import type { Entry } from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { Journal, Writer } from "./journal.ts";
import { entryBytes, Outbox } from "./_outbox.ts";
import { fromPayload } from "./payload.ts";
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
  /** False once the server may have given the command to somebody else. */
  readonly isFresh: () => boolean;
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
  /** Steps that wait for their next attempt: nothing of theirs is under way. */
  readonly #pausing = new Set<number>();
  /** Begin the next attempt of steps whose pause is over. */
  #due: (() => void)[] = [];
  readonly #outbox: Outbox;
  #replay: Replay;
  readonly #bell = new Bell();
  #releasing: "no" | "soon" | "now" = "no";
  #refresh = false;
  /** Whether the journal was looked at since the command was last known to be held. */
  #looked = false;
  /** A fault of the engine's own while it ran a step. */
  #crash: { readonly error: unknown } | undefined;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.maxRecordBytes);
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
    const stop = () => this.#bell.ring();
    signal.addEventListener("abort", stop, { once: true });
    let reason = "failed";
    try {
      const stopped = await this.#loop();
      reason = stopped;
      return stopped;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#replay.abandon();
      this.#stopped.abort(new JsflowError("fenced", `the execution has stopped: ${reason}`));
    }
  }

  /**
   * Hand over: begin no further step, and stop when those that run are in the journal, or at once
   * when `force` is set.
   */
  release({ force }: { readonly force: boolean }): void {
    this.#releasing = force ? "now" : "soon";
    this.#bell.ring();
  }

  /** Look at the end of the journal soon: an event may be waiting there. */
  refresh(): void {
    this.#refresh = true;
    this.#bell.ring();
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
      if (this.#crash) throw this.#crash.error;
      const caughtUp = await this.#deliver();
      const entries = this.#collect(caughtUp);
      if (entries.length > 0) {
        const stop = await this.#commit(entries);
        if (stop) return stop;
      } else if (caughtUp && !this.#mustLook()) {
        this.#startReady();
        await this.#bell.wait();
      }
    }
  }

  /** After a freeze somebody else may own the invocation: look before anything begins. */
  #mustLook(): boolean {
    const begins = this.#replay.ready.length > 0 || this.#due.length > 0;
    if (this.#options.isFresh()) this.#looked = false;
    else if (begins && !this.#looked) this.#refresh = this.#looked = true;
    return this.#refresh;
  }

  #owns(): boolean {
    const { journal: { state }, writer } = this.#options;
    return state.epoch === writer.epoch && state.owner === writer.owner;
  }

  /** What is cancelled goes on to its end. */
  get #pauseRequested(): boolean {
    const { pauseRequested, cancelReason } = this.#options.journal.state;
    return pauseRequested && cancelReason === undefined;
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
    if (timeline.length === timelineLength || this.#outbox.shown === 0) return;
    this.#replay.abandon();
    this.#replay = this.#newReplay();
    this.#outbox.hideAll();
  }

  // ------------------------------------------------------------------ handing outcomes to the code

  #newReplay(): Replay {
    const { journal, workflow } = this.#options;
    const replay = new Replay(journal.state, {
      changed: () => this.#bell.ring(),
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
    await this.#rest();
    for (let entry = this.#nextEntry(); entry; entry = this.#nextEntry()) {
      if (this.#replay.mismatch) return true;
      if (!this.#replay.deliver(entry)) return await this.#stalled(entry);
      if (this.#replay.cancelled) this.#cancelled.abort(this.#replay.cancelled);
      if (this.#replay.cursor < this.#options.journal.state.timeline.length) this.#replay.cursor++;
      else this.#outbox.show();
      await this.#rest();
    }
    return true;
  }

  /** Lets the code run on until it has nothing left to do but wait. */
  async #rest(): Promise<void> {
    const replay = this.#replay;
    // Ticks come once all promise reactions are done, and before anything else that code may await.
    process.nextTick(() => replay.rest());
    await new Promise((resolve) => setImmediate(resolve));
  }

  #nextEntry(): Entry | undefined {
    return this.#options.journal.state.timeline[this.#replay.cursor] ??
      this.#outbox.next;
  }

  /** The code may still be computing; give it some time, then call it a mismatch. */
  async #stalled(entry: Entry): Promise<boolean> {
    const { clock, replayStallMs, signal } = this.#options;
    const { settled, issued } = this.#replay;
    const moved = () => this.#replay.issued !== issued || this.#replay.settled !== settled;
    const stopping = () => signal.aborted || this.#releasing === "now";
    const deadline = clock.monotonic() + replayStallMs;
    while (!settled && !moved() && !stopping()) {
      const restMs = deadline - clock.monotonic();
      if (restMs <= 0) break;
      await this.#bell.wait(restMs);
    }
    if (moved() || stopping()) return false;
    const how = settled ? "ended without" : "does not ask for";
    const op = entry.kind.case === "outcome" ? entry.kind.value.op : undefined;
    this.#replay.fail(entry, `the code ${how} operation ${op?.index}, which the journal holds`);
    return true;
  }

  // ------------------------------------------------------------------ appending

  /** What to append now: outcomes the code has seen, and the end if there is one. */
  #collect(caughtUp: boolean): Entry[] {
    const { entries, all, roomBytes } = this.#outbox.pack();
    if (!all) return [...entries];
    const last = caughtUp ? this.#last() : this.#forcedRelease();
    const fits = last && (entries.length === 0 || entryBytes(last) <= roomBytes);
    return fits ? [...entries, last] : [...entries];
  }

  /** The entry that ends this execution, if it is time. */
  #last(): Entry | undefined {
    const { mismatch, settled } = this.#replay;
    const { cancelReason } = this.#options.journal.state;
    if (mismatch) {
      // Cancelling is the way out of code that can't be deployed any more.
      return cancelReason === undefined ? blocked(mismatch) : cancelled(cancelReason);
    }
    if (settled) return endingOf(settled, this.#replay.cancelled && cancelReason, this.#options);
    if (this.#releasing === "now") return this.#forcedRelease();
    if (this.#running.size > this.#pausing.size) return undefined;
    if (this.#pauseRequested) return suspended();
    return this.#releasing === "soon" ? released(CLOSING) : undefined;
  }

  #forcedRelease(): Entry | undefined {
    return this.#releasing === "now" ? released(CLOSING) : undefined;
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
    this.#replay.cursor += this.#outbox.commit(entries.length);
    const stop = stopOf(entries.at(-1));
    if (stop === "terminal") this.#reportForgotten();
    return stop;
  }

  // ------------------------------------------------------------------ steps

  /** Begins what the code has asked for: all that came before it is in the journal. */
  #startReady(): void {
    if (this.#pauseRequested || this.#releasing !== "no") return;
    for (const begin of this.#due.splice(0)) begin();
    for (const operation of this.#replay.ready.splice(0)) operation.start();
  }

  /** After a second pass over the journal a step may still be running from the first. */
  #hasBegun(index: number): boolean {
    return this.#running.has(index) || this.#outbox.holdsOutcome(index);
  }

  #startStep(step: Step): void {
    if (this.#hasBegun(step.index)) return;
    this.#running.add(step.index);
    const { attempts } = this.#options.journal.state;
    void runStep(step, attempts.get(step.index), this.#host(step)).then(
      (entry) => {
        this.#running.delete(step.index);
        this.#send(entry, () => {});
      },
      (error) => {
        this.#running.delete(step.index);
        // After a stop, whoever takes over attempts the step again.
        if (this.#stopped.signal.aborted) return;
        this.#crash = { error };
        this.#bell.ring();
      },
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

  #host({ index }: Step): StepHost {
    const { clock, random, maxRecordBytes } = this.#options;
    return {
      now: () => clock.now(),
      random,
      sleep: (ms) => this.#pauseStep(index, ms),
      signal: this.#steps,
      stopped: this.#stopped.signal,
      maxValueBytes: maxRecordBytes,
      record: (entry: Entry) => new Promise<void>((resolve) => this.#send(entry, resolve)),
    };
  }

  /** Between two attempts an invocation may be handed over or paused. */
  async #pauseStep(index: number, ms: number): Promise<void> {
    this.#pausing.add(index);
    this.#bell.ring();
    try {
      await this.#options.clock.sleep(ms, this.#steps);
      // The loop says when: an attempt must not begin while the last record is on its way.
      await new Promise<void>((resolve) => {
        this.#due.push(() => {
          this.#pausing.delete(index);
          resolve();
        });
        this.#bell.ring();
      });
    } finally {
      this.#pausing.delete(index);
    }
  }

  #send(entry: Entry, committed: () => void): void {
    this.#outbox.push(entry, committed);
    this.#bell.ring();
  }
}

const CLOSING = "the worker is closing";

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
