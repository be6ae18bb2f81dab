/**
 * Tells whether a value is one that `await` waits for: a promise, of this realm or another, or
 * anything with a method `then`. May throw what reading that throws.
 */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return typeof (value as { readonly then?: unknown }).then === "function";
}
