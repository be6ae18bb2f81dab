/**
 * Ends a loop over the `status()` of a native connection. One that is blocked there ends only when
 * the iterator itself is stopped, which its type does not tell.
 */
export function stopStatus(statuses: AsyncIterable<unknown>): void {
  (statuses as Partial<{ stop(): void }>).stop?.();
}
