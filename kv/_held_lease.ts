import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { jsflowLogger } from "../trace/log.ts";
import type { Bounds } from "./_bucket.ts";
import { beatEveryMs, sureForMs } from "./_lease.ts";
import { isPassing, isStartingUp } from "./_passing_error.ts";
import type { Space, SpaceResource } from "./_space.ts";
import { timeLeft } from "./_time_left.ts";
import type { Lease } from "./lease.ts";

/** What stands behind a lease. */
export interface LeaseKeeper {
  /** Stores a sign of life; false when the lease is nobody's or somebody else's. */
  renew(bounds: Bounds): Promise<boolean>;
  /** Stores that it is given back; false when it was taken by somebody else before. */
  giveBack(bounds: Bounds): Promise<boolean>;
}

/** What was acquired, and when. */
export interface Acquired {
  readonly keeper: LeaseKeeper;
  readonly token: number;
  /** When the write that acquired it was sent, by the monotonic clock. */
  readonly sentAt: number;
}

/** What a lease is on. */
export interface LeaseSubject {
  readonly name: string;
  /** With its kind, for errors: `lock "orders"`. */
  readonly what: string;
  readonly leaseMs: number;
  /** Whether something else that lives in the space gives it back when that closes. */
  readonly isOwned: boolean;
}

const logger = jsflowLogger("kv");
/** Of the lease, how much passes between a sign of life that failed and the next. */
const RETRY_SHARE = 1 / 10;

/** A lease that renews itself until it is released or lost. */
export class HeldLease implements Lease, SpaceResource {
  readonly name: string;
  readonly token: number;
  readonly leaseMs: number;
  readonly yields = true;
  readonly #space: Space;
  readonly #what: string;
  readonly #keeper: LeaseKeeper;
  readonly #lost = new AbortController();
  /** Ends renewing. */
  readonly #stop = new AbortController();
  readonly #forget: () => void;
  #sentAt: number;
  #trouble: unknown;
  /** The call of `release` that is at it. */
  #releasing: Promise<void> | undefined;
  #isReleased = false;
  #closing: Promise<void> | undefined;

  constructor(space: Space, subject: LeaseSubject, { keeper, token, sentAt }: Acquired) {
    this.name = subject.name;
    this.token = token;
    this.leaseMs = subject.leaseMs;
    this.#space = space;
    this.#what = subject.what;
    this.#keeper = keeper;
    this.#sentAt = sentAt;
    this.#forget = subject.isOwned ? () => {} : space.own(this);
    space.inBackground(this.#watchClock());
    space.inBackground(this.#keepAlive());
  }

  get signal(): AbortSignal {
    this.#checkClock();
    return this.#lost.signal;
  }

  get isHeld(): boolean {
    this.#checkClock();
    return !this.#stop.signal.aborted;
  }

  async release(options?: WaitBounds): Promise<void> {
    const what = `release ${this.#what}`;
    const { signal, timeoutMs } = checkWait(what, options, this.#space.timeoutMs);
    signal?.throwIfAborted();
    this.#checkClock();
    const left = timeLeft({ signal, timeoutMs }, this.#space.clock);
    const onTimeout = () => timeoutError(what, timeoutMs);
    while (this.#releasing !== undefined) {
      // Its bounds are not ours: it may give up while there is time here, or go on for longer.
      const settled = this.#releasing.catch(() => {});
      await withDeadline({ ...left(), onTimeout }, () => settled);
    }
    if (this.#isReleased) return;
    this.#releasing = this.#release(left());
    try {
      await this.#releasing;
      this.#isReleased = true;
    } finally {
      this.#releasing = undefined;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#abandon();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #release(bounds: Bounds): Promise<void> {
    this.#stop.abort();
    // Until then the client must not close its connection.
    const givingBack = this.#keeper.giveBack(bounds).finally(this.#forget);
    this.#space.inBackground(givingBack);
    // Of what was lost by the clock, perhaps nobody has taken it: the next one need not wait then.
    this.#lost.signal.throwIfAborted();
    if (!await givingBack) this.#lose("somebody else has taken it");
    this.#lost.signal.throwIfAborted();
  }

  /** The coordination closes while it is held: tell the holder, then give it back. */
  async #abandon(): Promise<void> {
    this.#lose("the coordination was closed");
    const bounds: Bounds = { signal: undefined, timeoutMs: this.#space.timeoutMs };
    await this.#keeper.giveBack(bounds).catch(() => {});
  }

  /** Ends it once the clock says so, whatever renewing is waiting for. */
  async #watchClock(): Promise<void> {
    while (this.#checkClock()) {
      await this.#space.clock.sleep(this.#sureForMs(), this.#stop.signal);
    }
  }

  async #keepAlive(): Promise<void> {
    let pauseMs = beatEveryMs(this.leaseMs) - this.#ageMs();
    while (!this.#stop.signal.aborted) {
      await this.#space.clock.sleep(Math.max(0, pauseMs), this.#stop.signal);
      if (!this.#checkClock()) return;
      pauseMs = await this.#renew();
    }
  }

  /** Gives a sign of life; returns after how many milliseconds the next one is due. */
  async #renew(): Promise<number> {
    const sentAt = this.#space.clock.monotonic();
    try {
      const bounds = { signal: this.#stop.signal, timeoutMs: Math.max(1, this.#sureForMs()) };
      if (!await this.#keeper.renew(bounds)) this.#lose("somebody else has taken it");
      this.#sentAt = sentAt;
      this.#trouble = undefined;
      return beatEveryMs(this.leaseMs) - this.#ageMs();
    } catch (error) {
      if (this.#stop.signal.aborted) return 0;
      this.#trouble = error;
      const mayPass = isPassing(error) || isStartingUp(error); // until the clock says that it is over
      if (!mayPass) this.#lose("it can't be renewed any more");
      return this.leaseMs * RETRY_SHARE;
    }
  }

  /** Whether it is held and the clock says for sure. */
  #checkClock(): boolean {
    if (this.#stop.signal.aborted) return false;
    if (this.#sureForMs() > 0) return true;
    this.#lose(`no sign of life was confirmed in the last ${Math.round(this.#ageMs())} ms`);
    return false;
  }

  #sureForMs(): number {
    const tenure = { sentAt: this.#sentAt, leaseMs: this.leaseMs };
    return sureForMs(tenure, this.#space.clock.monotonic());
  }

  #ageMs(): number {
    return this.#space.clock.monotonic() - this.#sentAt;
  }

  #lose(why: string): void {
    if (this.#lost.signal.aborted) return;
    const cause = this.#trouble;
    const message = `cannot go on with ${this.#what} (token ${this.token}): ${why}, so somebody ` +
      "else may hold it; stop what it protects";
    const error = new JsflowError("lease_lost", message, cause === undefined ? {} : { cause });
    logger.warn("Lost {what}: {why}", { what: this.#what, token: this.token, why, cause });
    this.#stop.abort();
    this.#forget();
    this.#lost.abort(error);
  }
}
