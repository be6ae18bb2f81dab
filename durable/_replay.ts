import type { Entry, Operation, OperationCompleted } from "./gen/jsflow/durable/v1/journal_pb.ts";
import { JsflowError } from "../client/errors.ts";
import { fromPayload } from "./payload.ts";
import { failureInfo, toFailure } from "./failure.ts";
import { StepFailedError } from "./errors.ts";
import type { Codec } from "../client/codec.ts";
import type { JournalState } from "./journal_state.ts";

/** One durable operation that the code has asked for. */
export interface Issued {
  readonly index: number;
  readonly kind: string;
  readonly name: string;
  readonly codec: Codec<unknown>;
  /** Begins the effect; called once all that came before it is in the journal. */
  readonly start: () => void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** How the code ended. */
export type Settled =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown };

/** Code and journal disagree. */
export interface Mismatch {
  readonly reason: string;
  readonly expected: Operation | undefined;
  readonly actual:
    | { readonly index: number; readonly kind: string; readonly name: string }
    | undefined;
}

/** What a pass needs from the execution. */
export interface ReplayHost {
  /** Called when the code has asked for something or has ended. */
  readonly changed: () => void;
  /** Whether the effect of an operation has begun in this process. */
  readonly hasBegun: (index: number) => boolean;
}

/** What an operation is called with. */
export type OperationRequest = Pick<Issued, "kind" | "name" | "codec"> & {
  readonly start: (index: number) => void;
};

/**
 * One pass of a workflow's code over its journal, from the beginning.
 *
 * Outcomes are handed to the code one at a time and in journal order, so that races between
 * operations come out the same in every pass.
 */
export class Replay {
  settled: Settled | undefined;
  mismatch: Mismatch | undefined;
  /** How many entries of the journal's timeline were delivered. */
  cursor = 0;
  cancelled: JsflowError | undefined;
  /** Issued, not begun. */
  ready: Issued[] = [];
  readonly #state: JournalState;
  readonly #open = new Map<number, Issued>();
  readonly #host: ReplayHost;
  #next = 0;
  #abandoned = false;
  /** Whether operations have been open side by side. */
  #isParallel = false;
  /** Whether the code runs because of a delivery, and not because of something that it awaited. */
  #isAttended = true;

  constructor(state: JournalState, host: ReplayHost) {
    this.#state = state;
    this.#host = host;
  }

  /** Operations asked for so far. */
  get issued(): number {
    return this.#next;
  }

  /** Runs the code; what it returns or throws ends up in `settled`. */
  begin(code: () => unknown): void {
    void (async () => await code())().then(
      (value) => this.#settle({ ok: true, value }),
      (error) => this.#settle({ ok: false, error }),
    );
  }

  /** Called by the code: asks for the operation at the next index. */
  issue(request: OperationRequest): Promise<unknown> {
    const index = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#abandoned || this.mismatch) return;
      const { kind, name, codec, start } = request;
      const operation = { index, kind, name, codec, resolve, reject, start: () => start(index) };
      if (!this.#isRepeatable(operation) || !this.#matches(operation)) {
        return this.#host.changed();
      }
      if (this.cancelled && !this.#keeps(index)) return reject(this.cancelled);
      this.#open.set(index, operation);
      this.ready.push(operation);
      this.#host.changed();
    });
  }

  /** The code has come to rest: what it asks for now, it asks for on its own account. */
  rest(): void {
    this.#isAttended = false;
  }

  /** Hands an entry to the code; false when the code has not asked for it (yet). */
  deliver(entry: Entry): boolean {
    this.#isAttended = true;
    if (entry.kind.case === "outcome") return this.#deliverOutcome(entry.kind.value);
    if (entry.kind.case === "event" && entry.kind.value.kind.case === "cancel") {
      this.#cancel(entry.kind.value.kind.value.reason);
    }
    return true;
  }

  /** The entry at the cursor waits for an operation that the code will never ask for. */
  fail(entry: Entry, reason: string): void {
    const expected = entry.kind.case === "outcome" ? entry.kind.value.op : undefined;
    this.mismatch ??= { reason, expected, actual: undefined };
  }

  /** Cuts the code off: whatever it still asks for stays open for ever. */
  abandon(): void {
    this.#abandoned = true;
    this.#open.clear();
    this.ready = [];
  }

  #keeps(index: number): boolean {
    return this.#state.outcomes.has(index) || this.#host.hasBegun(index);
  }

  #settle(settled: Settled): void {
    if (this.#abandoned) return;
    this.settled = settled;
    this.#host.changed();
  }

  /**
   * Side by side, the order in which operations are asked for must follow from the journal alone. It
   * does not when the code awaits something else in between: a second pass could give one branch the
   * outcome, or the idempotency key, of another.
   */
  #isRepeatable({ index, kind, name }: Issued): boolean {
    this.#isParallel ||= this.#open.size > 0;
    if (!this.#isParallel || this.#isAttended) return true;
    this.mismatch = {
      reason:
        `operation ${index}, ${formatOperation({ kind, name })}, was asked for after awaiting ` +
        `something that is no operation, while operations run side by side: their order can't be ` +
        `repeated; await it in a step`,
      expected: undefined,
      actual: { index, kind, name },
    };
    return false;
  }

  #matches(operation: Issued): boolean {
    const { outcomes, attempts } = this.#state;
    const { index } = operation;
    return this.#agrees(operation, outcomes.get(index)?.op ?? attempts.get(index)?.op);
  }

  #agrees({ index, kind, name }: Issued, expected: Operation | undefined): boolean {
    if (!expected || (expected.kind === kind && expected.name === name)) return true;
    this.mismatch = {
      reason: `operation ${index} is ${formatOperation({ kind, name })} in the code, but ` +
        `${formatOperation(expected)} in the journal`,
      expected,
      actual: { index, kind, name },
    };
    return false;
  }

  #deliverOutcome(outcome: OperationCompleted): boolean {
    const index = outcome.op?.index ?? 0;
    const operation = this.#open.get(index);
    if (!operation) return false;
    this.#open.delete(index);
    this.ready = this.ready.filter((other) => other !== operation);
    if (!this.#agrees(operation, outcome.op)) return true;
    // What fails after the cancellation, most often by the aborted signal, fails because of it.
    if (this.cancelled && outcome.result.case === "error") operation.reject(this.cancelled);
    else settleOperation(operation, outcome);
    return true;
  }

  /** Operations with an outcome in the journal or on its way keep it; the others never begin. */
  #cancel(reason: string): void {
    this.cancelled = new JsflowError(
      "invocation_cancelled",
      reason ? `the invocation was cancelled: ${reason}` : "the invocation was cancelled",
    );
    for (const operation of this.ready) {
      if (this.#keeps(operation.index)) continue;
      this.#open.delete(operation.index);
      operation.reject(this.cancelled);
    }
    this.ready = this.ready.filter(({ index }) => this.#open.has(index));
  }
}

/** An operation as people read it. */
function formatOperation(op: { readonly kind: string; readonly name: string }): string {
  return `${op.kind} "${op.name}"`;
}

function settleOperation(operation: Issued, outcome: OperationCompleted): void {
  const { result } = outcome;
  if (result.case === "error") {
    operation.reject(
      new StepFailedError(operation.name, outcome.attempts, failureInfo(result.value)),
    );
    return;
  }
  try {
    operation.resolve(fromPayload(operation.codec, result.value));
  } catch (error) {
    // The value is in the journal and stays there: the same error at every replay.
    operation.reject(
      new StepFailedError(operation.name, outcome.attempts, failureInfo(toFailure(error))),
    );
  }
}
