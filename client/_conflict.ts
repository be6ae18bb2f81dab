/**
 * What the server means when it ends a request for messages with a conflict.
 *
 * - `"completed"`: the request has brought what it could.
 * - `"gone"`: the consumer or its stream is gone, or is another now.
 * - `"limit"`: the consumer refuses this request, and every one like it.
 * - `"passing"`: only this request ended; another server leads, or this one shuts down.
 * - `"full"`: only this request ended; the consumer has as many open as it may, and would end the
 *   next one at once.
 * - `"too_large"`: the next message does not fit into the bytes that are left.
 */
export type Conflict = "completed" | "full" | "gone" | "limit" | "passing" | "too_large";

/** Reads the description of a status 409; there is no other way to tell one from another. */
export function readConflict(description: string): Conflict {
  const text = description.toLowerCase();
  if (text.includes("message size exceeds")) return "too_large";
  if (text.includes("batch completed")) return "completed";
  if (text.startsWith("exceeded maxrequest")) return "limit";
  if (text.startsWith("exceeded")) return "full";
  const isPassing = text.includes("leadership change") || text.includes("shutdown");
  return isPassing ? "passing" : "gone";
}
