/** The bounds of one call. */
export interface StoreCallOptions {
  /** Gives up with the signal's reason when it aborts; a write may be stored all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for everything, retries included. @default the store's, 5000 */
  readonly timeoutMs?: number | undefined;
}
