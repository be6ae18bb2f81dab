import type { Clock } from "../client/clock.ts";
import { isJsflowError, JsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { timeoutError } from "../client/deadline.ts";
import { retryDelayMs } from "../client/retry_policy.ts";
import type { Bounds, RawEntry } from "./_bucket.ts";
import { type Fate, fateOf, type Lineage, lineageOf, NOTHING } from "./_lineage.ts";

/** What a write's attempts say to the stream. */
export interface Draft {
  /** Its identity, the same in every attempt. */
  readonly nonce: string;
  /** The revision that must be the last one, with what is known before it; undefined for any. */
  readonly replaces: Lineage | undefined;
}

/** What settling needs of a bucket. */
export interface WriteGround {
  readonly clock: Clock;
  readonly random: () => number;
  /** Sends one attempt. */
  send(draft: Draft, bounds: AttemptBounds): Promise<number>;
  /** The key's last revision, at the leader. */
  last(bounds: Bounds): Promise<RawEntry | undefined>;
  /** The key's revisions from this one on that are stored, at the leader, the oldest first. */
  since(revision: number, bounds: Bounds): Promise<RawEntry[]>;
  /** Throws when the bucket does not exist; may fail in any other way. */
  confirm(bounds: Bounds): Promise<unknown>;
  /** Whether it is certain that the key can't come back to a revision. */
  isPast(revision: number, bounds: Bounds): Promise<boolean>;
  /** The highest revision that was there for certain before the first attempt; 0 for unknown. */
  floor(bounds: Bounds): Promise<number>;
  conflict(expected: number, cause: unknown): Error;
  /** Completes "cannot …". */
  readonly what: string;
  /** Whether the revision may be gone by itself soon. */
  readonly mayExpire: boolean;
  /** Whether several servers store it: one that leads no more may answer as well. */
  readonly isReplicated: boolean;
}

/** The bounds of one attempt; the time includes a wait for the connection. */
export interface AttemptBounds extends Bounds {
  /** Milliseconds from the moment that it is sent. */
  readonly attemptMs: number;
  /** To be called just before it is sent. */
  readonly onSent: () => void;
}

/** Failures after which nobody knows what became of a message that was sent. */
const AMBIGUOUS: readonly JsflowErrorCode[] = ["connection_closed", "not_connected", "timeout"];
/** Failures that pass. */
const PASSING: readonly JsflowErrorCode[] = [
  ...AMBIGUOUS,
  "circuit_open",
  "jetstream_unavailable",
  "no_responders",
];
/** Failures that a missing bucket has as well. */
const UNANSWERED: readonly JsflowErrorCode[] = ["jetstream_unavailable", "no_responders"];
/** Failures that end a write whose first attempt was not sent: the client is told to fail fast. */
const HOPELESS: readonly JsflowErrorCode[] = ["circuit_open", "connection_closed", "not_connected"];
/** The server is still storing the message of this id. */
const IN_PROCESS = 10158;
/** Milliseconds between attempts. */
const PAUSES = { attempts: Infinity, initialMs: 20, maxMs: 500 } as const;
/** A server that was killed does not lead again within so many milliseconds. */
const RESTART_MS = 1_500;
/** Of the whole time, which part the first attempt may take, whose answer may be lost. */
const FIRST_SHARE = 1 / 4;
/** The fewest milliseconds of an attempt, as long as so many are left. */
const MIN_ATTEMPT_MS = 250;

/** How an attempt ended; undefined when nothing is decided yet. */
type Outcome = { readonly revision: number } | { readonly error: Error } | undefined;

/**
 * Writes once, however many attempts that takes, and returns the revision.
 *
 * The message is sent again under the same id when no answer comes. When that is refused because
 * the key has moved on, what is stored tells whether an earlier attempt has done it.
 *
 * @throws {JsflowError} `outcome_unknown` when it may have been written and nobody can tell; any
 * other error but an abort says that it was not.
 */
export async function settledWrite(
  ground: WriteGround,
  draft: Draft,
  bounds: Bounds,
): Promise<number> {
  const outcome = await new SettledWrite(ground, draft, bounds).run();
  if ("error" in outcome) throw outcome.error;
  return outcome.revision;
}

class SettledWrite {
  readonly #ground: WriteGround;
  readonly #bounds: Bounds;
  readonly #begunAt: number;
  readonly #endsAt: number;
  /** Whether any revision may be replaced. */
  readonly #isBlind: boolean;
  #draft: Draft;
  #failures = 0;
  /** Whether an attempt was sent whose outcome nobody knows. */
  #maybeStored = false;
  /** Whether an attempt was refused by a leader that may not know what its successor has done. */
  #isDoubtful = false;
  /** Whether the attempt at hand was sent, and not answered. */
  #isOpen = false;

  constructor(ground: WriteGround, draft: Draft, bounds: Bounds) {
    this.#ground = ground;
    this.#draft = draft;
    this.#bounds = bounds;
    this.#isBlind = draft.replaces === undefined;
    this.#begunAt = ground.clock.monotonic();
    this.#endsAt = this.#begunAt + bounds.timeoutMs;
  }

  async run(): Promise<NonNullable<Outcome>> {
    for (;;) {
      let failure: unknown;
      try {
        const outcome = await this.#attempt();
        if (outcome !== undefined) return outcome;
      } catch (error) {
        failure = error;
      }
      const end = await this.#rest(failure);
      if (end !== undefined) return { error: end };
    }
  }

  async #attempt(): Promise<Outcome> {
    this.#isOpen = false;
    if (this.#maybeStored && this.#isBlind) {
      const own = await this.#guard();
      if (own !== undefined) return own;
    }
    try {
      const onSent = () => {
        this.#isOpen = true;
      };
      const attemptMs = this.#attemptMs();
      const bounds = { ...this.#left(), attemptMs, onSent };
      return { revision: await this.#ground.send(this.#draft, bounds) };
    } catch (error) {
      if (!isJsflowError(error, "sequence_conflict")) throw error;
      this.#isOpen = false;
      return await this.#settle(error);
    }
  }

  /**
   * A stream that has forgotten the id would store a blind write twice, the second time over what
   * others wrote since: so it goes over the last revision only, unless that is the write itself.
   */
  async #guard(): Promise<Outcome> {
    const last = await this.#ground.last(this.#step());
    const lineage = last === undefined ? NOTHING : lineageOf(last);
    const { nonce } = this.#draft;
    const fate = fateOf({ nonce, expected: 0 }, [lineage]);
    if (fate.kind === "applied") return { revision: fate.revision };
    this.#draft = { nonce, replaces: lineage };
    return undefined;
  }

  /**
   * The key is not where the write expected it: because of the write itself?
   *
   * On replicas a refusal alone proves nothing: a leader that was replaced refuses what came to
   * its successor as well. But where it names a later revision, that one was stored for certain,
   * and the successor has refused the write too. Refusals that name none come of replicas only.
   */
  async #settle(cause: unknown): Promise<Outcome> {
    const { nonce, replaces = NOTHING } = this.#draft;
    const expected = replaces.revision;
    if (this.#isBlind) return undefined; // looked at anew
    const refused = { error: this.#ground.conflict(expected, cause) };
    const unknown = () => ({ error: this.#unknown(cause) });
    const named = revisionIn(cause);
    const hasMovedOn = named !== undefined && named > expected;
    const isCertain = hasMovedOn || (named !== undefined && !this.#ground.isReplicated);
    if (isCertain && !this.#isOpenEnded) return refused;
    this.#isDoubtful = true;
    const last = await this.#ground.last(this.#step());
    if (last === undefined && this.#maybeStored && hasMovedOn) return unknown();
    if (last === undefined || last.revision <= expected) {
      // The leader has not come to it yet, or what was expected is not there any more.
      const isThere = (last?.revision ?? 0) === expected;
      if (isThere || !await this.#ground.isPast(expected, this.#step())) return undefined;
      return this.#maybeStored ? unknown() : refused;
    }
    let fate = fateOf({ nonce, expected }, [lineageOf(last)]);
    if (fate.kind === "hidden") fate = await this.#lookCloser(expected);
    if (fate.kind === "applied") return { revision: fate.revision };
    if (fate.kind === "refused") return refused;
    if (this.#maybeStored) return unknown();
    if (!hasMovedOn) return undefined;
    // Whoever names a later revision would have known the write's id, unless it was started anew.
    const isFresh = this.#ground.clock.monotonic() - this.#begunAt < RESTART_MS;
    return isFresh ? refused : unknown();
  }

  /** Looks at what is stored of the key after what the write expected: some may be missing. */
  async #lookCloser(expected: number): Promise<Fate> {
    // It came after whatever was there before it was sent.
    const after = Math.max(expected, await this.#ground.floor(this.#step()));
    // What has expired is missing without a trace: then only what others knew counts.
    const first = this.#ground.mayExpire ? after + 1 : expected + 1;
    const stored = await this.#ground.since(first, this.#step());
    return fateOf({ nonce: this.#draft.nonce, expected: after }, stored.map(lineageOf));
  }

  /** Pauses before the next attempt; returns the error when there is none. */
  async #rest(failure: unknown): Promise<Error | undefined> {
    const { signal } = this.#bounds;
    if (signal?.aborted) throw signal.reason;
    if (this.#isOpen && hasCode(failure, AMBIGUOUS)) this.#maybeStored = true;
    // What one server can't store, the one that leads by now may have stored.
    const mayHaveGone = this.#isOpen && this.#ground.isReplicated;
    if (mayHaveGone && isJsflowError(failure, "jetstream_unavailable")) this.#isDoubtful = true;
    if (failure !== undefined && !this.#mayPass(failure)) return this.#end(failure);
    if (hasCode(failure, UNANSWERED)) {
      const gone = await this.#findGone();
      if (gone !== undefined) return gone;
    }
    const pauseMs = retryDelayMs(PAUSES, ++this.#failures, this.#ground.random) ?? 0;
    if (pauseMs >= this.#leftMs) return this.#end(failure);
    await this.#ground.clock.sleep(pauseMs, signal);
    return undefined;
  }

  #mayPass(failure: unknown): boolean {
    // Before anything was sent: the client is closed.
    if (!this.#isOpen && isJsflowError(failure, "connection_closed")) return false;
    if (!this.#isOpenEnded && hasCode(failure, HOPELESS)) return false;
    return hasCode(failure, PASSING) || apiCodeOf(failure) === IN_PROCESS;
  }

  /** Nobody has answered: because the bucket is gone? */
  async #findGone(): Promise<Error | undefined> {
    try {
      await this.#ground.confirm(this.#step());
      return undefined;
    } catch (error) {
      return isJsflowError(error, "bucket_not_found") ? error : undefined;
    }
  }

  #end(failure: unknown): Error {
    if (this.#isOpenEnded) return this.#unknown(failure);
    if (failure instanceof Error) return failure;
    return timeoutError(this.#ground.what, this.#bounds.timeoutMs);
  }

  #unknown(cause: unknown): JsflowError {
    return new JsflowError(
      "outcome_unknown",
      `cannot ${this.#ground.what}: it was sent, and nobody can tell whether it was stored; read ` +
        "the key and decide",
      { cause },
    );
  }

  /** Whether it may be stored, as far as is known here. */
  get #isOpenEnded(): boolean {
    return this.#maybeStored || this.#isDoubtful;
  }

  #attemptMs(): number {
    const fullMs = Math.max(
      MIN_ATTEMPT_MS,
      this.#bounds.timeoutMs * FIRST_SHARE * 2 ** Math.min(this.#failures, 10),
    );
    const leftMs = this.#leftMs;
    return leftMs - fullMs < MIN_ATTEMPT_MS ? leftMs : fullMs;
  }

  get #leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - this.#ground.clock.monotonic()));
  }

  /** An answer may be lost: one question does not wait for ever. */
  #step(): Bounds {
    return { ...this.#left(), timeoutMs: this.#attemptMs() };
  }

  #left(): Bounds {
    // What was sent must be settled, whatever the breaker thinks.
    const bypassBreaker = this.#isOpenEnded || this.#bounds.bypassBreaker;
    return { signal: this.#bounds.signal, timeoutMs: this.#leftMs, bypassBreaker };
  }
}

function hasCode(error: unknown, codes: readonly JsflowErrorCode[]): boolean {
  return isJsflowError(error) && codes.includes(error.code);
}

/** The number that the JetStream API gave an error, as the error itself or its cause. */
function apiCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : apiCodeOf(error.cause);
}

/** The key's last revision as a refusal names it, 0 for none; undefined where it names nothing. */
function revisionIn(refusal: unknown): number | undefined {
  const { cause } = refusal as { readonly cause?: unknown };
  const digits = cause instanceof Error ? /: (\d{1,15})$/.exec(cause.message)?.[1] : undefined;
  return digits === undefined ? undefined : Number(digits);
}
