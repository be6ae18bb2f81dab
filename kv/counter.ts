import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { JsflowError } from "../client/errors.ts";
import { checkInteger } from "../client/validate.ts";
import {
  type AppliedLog,
  appliedVerdict,
  isAppliedLog,
  type LoggedOperation,
  withApplied,
} from "./_applied_log.ts";
import type { Bounds } from "./_bucket.ts";
import { changeState } from "./_change_state.ts";
import { foreignState } from "./_foreign_state.ts";
import { inTurn } from "./_in_turn.ts";
import { type Seen, type Space, spaceOf } from "./_space.ts";
import type { Coordination } from "./coordination.ts";

/** A number that many processes add to. */
export interface Counter {
  /** Its name. */
  readonly name: string;
  /**
   * Adds an integer, which may be negative, and returns the counter's value right after that.
   *
   * It is added once, whatever happens to the connection or the server meanwhile. `add(0)` tells
   * the value for sure, as `get` does not.
   *
   * @param amount a safe integer; 1 when left out.
   * @throws {JsflowError} `timeout` and other codes when nothing was added; `outcome_unknown` when
   * the time was over before anybody could tell.
   * @throws {RangeError} when the value would leave the safe integers; nothing is added then.
   * @throws the signal's reason when it aborts; it may have been added by then.
   */
  add(amount?: number, options?: WaitBounds): Promise<number>;
  /**
   * Reads the value; 0 before anything was added.
   *
   * On a replicated bucket it may be an older one.
   *
   * @throws {JsflowError} `timeout` and other codes when the server can't be asked.
   * @throws the signal's reason when it aborts.
   */
  get(options?: WaitBounds): Promise<number>;
}

/** What a counter's key holds. */
interface CounterState {
  readonly value: number;
  readonly log: AppliedLog;
}

/** A change that may be sent several times. */
interface Addition extends LoggedOperation {
  readonly amount: number;
  /** Whether it may have been applied already. */
  isInDoubt: boolean;
}

/**
 * Returns a counter; does no I/O.
 *
 * Every addition is one compare-and-set of one key: some thousands a second in all, whoever adds.
 * Calls of one process for one counter go one after the other. With the value are kept the last
 * additions of the 128 processes that added last; that is how an addition whose answer was lost is
 * found again.
 *
 * Values stay within the safe integers, from -(2⁵³ - 1) to 2⁵³ - 1.
 *
 * @throws {TypeError | RangeError} for a name that makes no sense.
 *
 * @example
 * ```ts
 * import { type Coordination, counter } from "@x/jsflow/kv";
 *
 * async function nextInvoice(coordination: Coordination): Promise<string> {
 *   const number = await counter(coordination, "invoices").add(1, { timeoutMs: 10_000 });
 *   return `INV-${number}`;
 * }
 * console.log(nextInvoice);
 * ```
 */
export function counter(coordination: Coordination, name: string): Counter {
  const space = spaceOf(coordination);
  const key = space.keyOf("counter", name);
  const what = `add to counter ${JSON.stringify(name)}`;
  return {
    name,
    add: async (amount = 1, options) => {
      checkInteger("amount", amount, { min: -Number.MAX_SAFE_INTEGER });
      const bounds = boundsOf("add", options, space);
      return await inTurn(space, { key, what, ...bounds }, (left) => {
        return addOnce(space, { key, amount }, left);
      });
    },
    get: async (options) => {
      const bounds = boundsOf("get", options, space);
      const entry = await space.store.entry(key, bounds);
      return readCounter(key, { value: entry?.value, revision: entry?.revision ?? 0 }).value;
    },
  };
}

function boundsOf(what: string, options: WaitBounds | undefined, space: Space): Bounds {
  const { signal, timeoutMs } = checkWait(what, options, space.timeoutMs);
  return { signal, timeoutMs };
}

async function addOnce(
  space: Space,
  { key, amount }: { readonly key: string; readonly amount: number },
  bounds: Bounds,
): Promise<number> {
  const addition: Addition = { ...nextOperation(space), amount, isInDoubt: false };
  let result = 0;
  const change = {
    key,
    fn: (value: unknown, { keep, revision }: { keep: symbol; revision: number }) => {
      const state = readCounter(key, { value, revision });
      const next = apply(state, addition, { key, isNew: revision === 0 });
      result = next.result;
      return next.state ?? keep;
    },
    onDoubt: () => {
      addition.isInDoubt = true;
    },
  };
  await changeState(space, change, bounds);
  return result;
}

/** The state after an addition; undefined when that is in it already. */
function apply(
  { value, log }: CounterState,
  addition: Addition,
  { key, isNew }: { readonly key: string; readonly isNew: boolean },
): { readonly result: number; readonly state: CounterState | undefined } {
  if (addition.isInDoubt) {
    const verdict = appliedVerdict(log, addition);
    if (verdict.kind === "applied") return { result: verdict.result, state: undefined };
    const isRemoved = log.length === 0 && !isNew;
    if (verdict.kind === "forgotten" || isRemoved) throw nobodyKnows(key);
  }
  const result = value + addition.amount;
  if (!Number.isSafeInteger(result)) {
    throw new RangeError(
      `cannot add ${addition.amount} to ${key}: at ${value} it would leave the safe integers; ` +
        "count in larger units, or with several counters",
    );
  }
  return { result, state: { value: result, log: withApplied(log, addition, result) } };
}

function readCounter(key: string, seen: Seen): CounterState {
  if (seen.value === undefined) return { value: 0, log: [] };
  const { value, log } = (seen.value ?? {}) as Partial<CounterState>;
  if (Number.isSafeInteger(value) && isAppliedLog(log)) return { value: value!, log };
  throw foreignState(key, seen, "a counter");
}

function nobodyKnows(key: string): JsflowError {
  return new JsflowError(
    "outcome_unknown",
    `cannot tell whether ${key} was added to: the answer was lost, and what happened since hides ` +
      "it; read the counter and decide",
  );
}

/** What operations of a space are called; all counters share it, so few writers are logged. */
const writers = new WeakMap<Space, { readonly writer: string; seq: number }>();

function nextOperation(space: Space): LoggedOperation {
  let known = writers.get(space);
  if (known === undefined) writers.set(space, known = { writer: space.newId(), seq: 0 });
  return { writer: known.writer, seq: ++known.seq };
}
