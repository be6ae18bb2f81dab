import { EventList, type PendingEvent, type PendingOperation } from "./_event_list.ts";
import { SeenPoints } from "./_seen_points.ts";
import { UnknownOperations } from "./_unknown_operations.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/** Steps that are left; shared by all searches of one check. */
export interface Budget {
  /** Takes one step; false when none is left. */
  take(): boolean;
}

/** How far a search came. */
export interface Frontier<S, I, O> {
  /** The return that nothing gets past; undefined when everything fits. */
  readonly stuckAt: RecordedOperation<I, O> | undefined;
  /** States before it, some of those that are possible. */
  readonly states: readonly S[];
  /** The end of one order that leads there. */
  readonly order: readonly RecordedOperation<I, O>[];
}

/** What came of a search. */
export interface SearchResult<S, I, O> extends Frontier<S, I, O> {
  readonly verdict: "linearizable" | "violation" | "unknown";
}

/** States and operations that a frontier holds at most. */
const FRONTIER_STATES = 8;
const FRONTIER_ORDER = 16;

/** An operation that may come next, and the state after it. */
interface Move<S, I, O> {
  readonly operation: PendingOperation<I, O>;
  readonly state: S;
}

/** A point of the search: what has come so far leads to `state`. */
interface Frame<S, I, O> {
  readonly previous: Frame<S, I, O> | undefined;
  /** The operation that led here; undefined at the beginning. */
  readonly taken: PendingOperation<I, O> | undefined;
  readonly state: S;
  readonly stateKey: string;
  /** What is tried next, from the last one on. */
  moves: Move<S, I, O>[];
  /** The first return: operations without a result that were called before it may come, too. */
  unknownUntil: PendingEvent<I, O> | undefined;
}

/**
 * Looks for an order of the operations that the model allows and that puts no operation before one
 * that had returned when it was called.
 *
 * The search is Wing's and Gong's, with Lowe's memory of the points that it has seen: a point is a
 * set of operations and a state. It does not try what makes no difference:
 * - A read that fits and leaves the state as it is, is taken at once, and nothing else is tried
 *   instead: in every order that has it later it can be moved to here.
 * - An operation without a result comes when nothing else leads on, only where it changes the
 *   state, and only before one that is not the same without it.
 */
export class Search<S, I, O> {
  readonly #model: Model<S, I, O>;
  readonly #budget: Budget;
  /** Operations with a result: all of them must find a place. */
  readonly #known: EventList<I, O>;
  readonly #unknown: UnknownOperations<I, O>;
  /** What was given for each operation that the model has simplified. */
  readonly #originals: ReadonlyMap<RecordedOperation<I, O>, RecordedOperation<I, O>>;
  readonly #seen: SeenPoints = new SeenPoints();
  readonly #frames: Frame<S, I, O>[] = [];
  #stuck: { end: PendingEvent<I, O>; states: Map<string, S> } | undefined;
  #order: readonly RecordedOperation<I, O>[] = [];

  constructor(
    model: Model<S, I, O>,
    operations: readonly RecordedOperation<I, O>[],
    budget: Budget,
  ) {
    this.#model = model;
    this.#budget = budget;
    const simple = model.simplify?.(operations) ?? operations;
    this.#originals = new Map(simple.map((operation, index) => [operation, operations[index]!]));
    this.#known = new EventList(simple.filter(({ result }) => result !== undefined));
    this.#unknown = new UnknownOperations(simple.filter(({ result }) => result === undefined));
  }

  run(): SearchResult<S, I, O> {
    this.#enter(undefined, this.#model.initial);
    while (this.#known.first !== undefined) {
      const move = this.#nextMove();
      if (move === undefined) {
        if (!this.#leave()) return this.#result("violation");
        continue;
      }
      if (!this.#budget.take()) return this.#result("unknown");
      this.#take(move.operation);
      if (!this.#enter(move.operation, move.state)) this.#undo(move.operation);
    }
    return this.#result("linearizable");
  }

  /** Goes on from a point; false when that leads to nothing new. */
  #enter(taken: PendingOperation<I, O> | undefined, state: S): boolean {
    const { open, end } = this.#openCalls();
    const stateKey = this.#key(state);
    const point = `${end?.index}:${open.map(({ call }) => call.index)}/${stateKey}`;
    if (!this.#seen.add(point, this.#unknown.used)) return false;
    const previous = this.#frames.at(-1);
    const frame = { previous, taken, state, stateKey, moves: [], unknownUntil: end };
    this.#addMoves(frame, open);
    this.#frames.push(frame);
    if (end) this.#note(end, frame);
    return true;
  }

  /** The calls before the first return, all of which may come next, and that return. */
  #openCalls(): { open: PendingOperation<I, O>[]; end: PendingEvent<I, O> | undefined } {
    const open: PendingOperation<I, O>[] = [];
    let event = this.#known.first;
    for (; event?.isCall; event = event.next) open.push(this.#known.operations[event.index]!);
    return { open, end: event };
  }

  #nextMove(): Move<S, I, O> | undefined {
    const frame = this.#frames.at(-1)!;
    const { moves, unknownUntil } = frame;
    if (moves.length === 0 && unknownUntil !== undefined) {
      frame.unknownUntil = undefined;
      this.#addUnknownMoves(frame, unknownUntil.place);
    }
    return frame.moves.pop();
  }

  /** Operations with a result; a read that fits comes alone. */
  #addMoves(frame: Frame<S, I, O>, open: readonly PendingOperation<I, O>[]): void {
    for (const operation of open) {
      const state = this.#apply(frame.state, operation);
      if (state === undefined) continue;
      const key = this.#key(state);
      if (key === frame.stateKey && this.#isReadOnly(operation)) {
        frame.moves = [{ operation, state }];
        frame.unknownUntil = undefined;
        return;
      }
      if (!this.#isIndifferent(frame, operation, key)) frame.moves.push({ operation, state });
    }
    frame.moves.sort((a, b) => this.#compare(b.operation, a.operation));
  }

  /** Which of two is tried first: the lower rank, or what returns first and must be placed first. */
  #compare(a: PendingOperation<I, O>, b: PendingOperation<I, O>): number {
    const [rankA, rankB] = [this.#rank(a), this.#rank(b)];
    return rankA === rankB ? a.operation.returned - b.operation.returned : rankA - rankB;
  }

  #rank({ operation: { input, result } }: PendingOperation<I, O>): number {
    return this.#model.rank?.(input, result) ?? Number.MAX_SAFE_INTEGER;
  }

  #addUnknownMoves(frame: Frame<S, I, O>, before: number): void {
    for (const operation of this.#unknown.callable(before)) {
      const state = this.#apply(frame.state, operation);
      if (state === undefined) continue;
      const key = this.#key(state);
      if (key === frame.stateKey || this.#isIndifferent(frame, operation, key)) continue;
      frame.moves.push({ operation, state });
    }
    frame.moves.reverse();
  }

  /** Whether an operation leads to the same state without the one before it, which has no result. */
  #isIndifferent(
    { previous, taken }: Frame<S, I, O>,
    operation: PendingOperation<I, O>,
    key: string,
  ): boolean {
    if (previous === undefined || taken?.end !== undefined) return false;
    const state = this.#apply(previous.state, operation);
    return state !== undefined && this.#key(state) === key;
  }

  #isReadOnly({ operation }: PendingOperation<I, O>): boolean {
    return this.#model.isReadOnly?.(operation.input, operation.result) ?? false;
  }

  #apply(state: S, { operation }: PendingOperation<I, O>): S | undefined {
    return this.#model.apply(state, operation.input, operation.result);
  }

  #take(operation: PendingOperation<I, O>): void {
    if (operation.end) this.#known.takeOut(operation);
    else this.#unknown.toggle(operation);
  }

  #undo(operation: PendingOperation<I, O>): void {
    if (operation.end) this.#known.putBack(operation);
    else this.#unknown.toggle(operation);
  }

  /** Goes back by one operation; false at the beginning. */
  #leave(): boolean {
    const frame = this.#frames.pop();
    if (frame?.taken === undefined) return false;
    this.#undo(frame.taken);
    return true;
  }

  /** Remembers the points that came the farthest. */
  #note(end: PendingEvent<I, O>, { state, stateKey }: Frame<S, I, O>): void {
    if (this.#stuck === undefined || end.place > this.#stuck.end.place) {
      this.#stuck = { end, states: new Map() };
      const taken = this.#frames.slice(-FRONTIER_ORDER).flatMap((frame) => frame.taken ?? []);
      this.#order = taken.map(({ operation }) => operation);
    }
    const { states } = this.#stuck;
    if (end === this.#stuck.end && states.size < FRONTIER_STATES) states.set(stateKey, state);
  }

  #key(state: S): string {
    return this.#model.stateKey?.(state) ?? JSON.stringify(state);
  }

  #result(verdict: SearchResult<S, I, O>["verdict"]): SearchResult<S, I, O> {
    const original = (operation: RecordedOperation<I, O>) => this.#originals.get(operation)!;
    const { end, states } = this.#stuck ?? {};
    return {
      verdict,
      stuckAt: end && verdict !== "linearizable" ? original(end.operation) : undefined,
      states: [...states?.values() ?? []],
      order: this.#order.map(original),
    };
  }
}
