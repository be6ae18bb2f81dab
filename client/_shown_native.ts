import type { Redacted } from "./effective_options.ts";

/** What stands in place of a secret. */
export const REDACTED: Redacted = "[redacted]";
/** Raw native texts that may be shown; any other may be a secret. */
const SHOWN_TEXTS: readonly string[] = ["inboxPrefix"];

/** Raw native options as they may be shown. */
export type ShownNative = Readonly<Record<string, string | number | boolean>>;

/** Returns what may be shown of raw native options. */
export function showNative(raw: object): ShownNative {
  const shown = Object.entries(raw).map(([key, value]: [string, unknown]) => {
    if (typeof value === "number" || typeof value === "boolean") return [key, value];
    return [key, typeof value === "string" && SHOWN_TEXTS.includes(key) ? value : REDACTED];
  });
  return Object.fromEntries(shown) as ShownNative;
}
