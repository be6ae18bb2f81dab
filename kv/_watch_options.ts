import {
  checkBoolean,
  checkInteger,
  checkObject,
  checkOptions,
  checkSignal,
  describe,
} from "../client/validate.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import type { NameFilter } from "./_key_names.ts";
import type { FeedStart } from "./_watch_position.ts";
import type { KeySelection } from "./store.ts";
import { WATCH_MAX_PENDING, type WatchOptions } from "./watch.ts";

const KEYS = [
  "filter",
  "from",
  "key",
  "maxPending",
  "prefix",
  "removals",
  "signal",
] as const satisfies readonly (keyof WatchOptions)[];

const MAX_PENDING = 100_000;

/** Options of a watch, checked. */
export interface WatchSettings {
  /** A pattern behind the bucket's subject prefix. */
  readonly pattern: string;
  /** The key of a revision that is meant; undefined for one that is not. */
  readonly select: (raw: RawEntry) => string | undefined;
  readonly from: FeedStart;
  readonly maxPending: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Checks the options of a watch.
 *
 * @throws {TypeError | RangeError} for what makes no sense, alone or together.
 */
export function parseWatchOptions(
  bucket: Pick<Bucket, "keys">,
  options: WatchOptions | undefined,
): WatchSettings {
  const given: WatchOptions = checkOptions("watch", options, KEYS);
  const { pattern, matches } = filterOf(bucket, given);
  const removals = given.removals === undefined
    ? true
    : checkBoolean("watch: removals", given.removals);
  return {
    pattern,
    select: (raw) => {
      if (!removals && raw.operation !== "put") return undefined;
      const key = bucket.keys.decode(raw.name);
      return key !== undefined && matches(key) ? key : undefined;
    },
    from: startOf(given.from ?? "state"),
    maxPending: checkInteger("watch: maxPending", given.maxPending ?? WATCH_MAX_PENDING, {
      min: 1,
      max: MAX_PENDING,
    }),
    signal: checkSignal("watch: signal", given.signal),
  };
}

function filterOf(
  { keys }: Pick<Bucket, "keys">,
  { filter, key, prefix }: KeySelection & { readonly key?: string | undefined },
): NameFilter {
  if (key === undefined) return keys.filter({ prefix, filter });
  if (prefix !== undefined || filter !== undefined) {
    throw new TypeError("watch takes key, or prefix and filter, not both");
  }
  return { pattern: keys.encode(key), matches: () => true };
}

function startOf(value: unknown): FeedStart {
  if (value === "state") return "last";
  if (value === "history") return "all";
  if (value === "new") return "new";
  if (typeof value === "object" && value !== null && "afterRevision" in value) {
    checkObject("watch: from", value);
    return { afterRevision: checkInteger("watch: from.afterRevision", value.afterRevision) };
  }
  throw new TypeError(
    'watch: from must be "state", "history", "new" or { afterRevision }, got ' + describe(value),
  );
}
