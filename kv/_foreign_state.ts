import { JsflowError } from "../client/errors.ts";
import type { Seen } from "./_space.ts";

/** Makes the error for a key that holds something else; `what` names it: `a counter`. */
export function foreignState(key: string, { revision }: Seen, what: string): JsflowError {
  return new JsflowError(
    "invalid_payload",
    `cannot read ${key}: revision ${revision} is no state of ${what}; nothing else may write ` +
      "under this key",
  );
}
