import type { WaitBounds } from "../client/call_options.ts";

/**
 * Something that is held for as long as this process gives signs of life: a lock, a permit.
 *
 * It is renewed by itself. Whoever holds it can never be quite sure: the process may be frozen
 * between a look at `isHeld` and the deed. So give `token` along to what is protected, and let that
 * refuse a token smaller than the largest one it has seen.
 *
 * Time that passes while the machine itself is suspended is not seen by its clock, so after that
 * only the token protects.
 */
export interface Lease extends AsyncDisposable {
  /** The name of what is held. */
  readonly name: string;
  /** Larger than every token that was given out under this name before. */
  readonly token: number;
  /** Milliseconds without a sign of life after which others may take it. */
  readonly leaseMs: number;
  /**
   * Aborts with a JsflowError `lease_lost` as soon as somebody else may hold it: another one took
   * it, no sign of life was confirmed in time (the connection is away, the process was frozen), or
   * the coordination was closed. Not by `release`.
   */
  readonly signal: AbortSignal;
  /** Whether it is held for sure, by a look at the clock; false once it is released. */
  readonly isHeld: boolean;
  /**
   * Gives it back, within the coordination's `timeoutMs` unless it is given another. Once that is
   * done, further calls do nothing; calls at the same time each keep their own bounds.
   *
   * When it can't be confirmed in time, others get it after the lease; it may be called again. When
   * it is somebody else's by then, and a call before may have given it back, it counts as given
   * back: its holder was through with it while it was held for sure.
   *
   * @throws {JsflowError} `lease_lost` when it was lost before: what was done under it may have
   * met somebody else's work. `timeout` and others when the server can't be asked.
   * @throws the signal's reason when it aborts.
   */
  release(options?: WaitBounds): Promise<void>;
}
