import { LRUCache } from "lru-cache";
import { Patience } from "./_lease.ts";
import type { Space } from "./_space.ts";
import { WaitingLine } from "./_waiting_line.ts";

/** Names of which a space remembers for how long their holders have given no sign of life. */
const MAX_REMEMBERED_NAMES = 10_000;

/** What the contenders of one space share. */
interface Contention {
  /** Outlives a call, so that short attempts one after the other replace a dead holder too. */
  readonly patience: LRUCache<string, Patience>;
  /** Only the first one in line watches a key: a thousand callers cost one watch. */
  readonly lines: Map<string, WaitingLine>;
}

const contentions = new WeakMap<Space, Contention>();

/** For how long a key's holders have given no sign of life, as far as this space knows. */
export function patienceFor(space: Space, key: string): Patience {
  const { patience } = contentionOf(space);
  const known = patience.get(key) ?? new Patience();
  patience.set(key, known);
  return known;
}

/** Runs `work` when all callers of this space who came before for this key are through. */
export async function inLine<T>(
  space: Space,
  { key, signal }: { readonly key: string; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const { lines } = contentionOf(space);
  const line = lines.get(key) ?? new WaitingLine();
  lines.set(key, line);
  const leave = await line.enter(signal);
  try {
    return await work();
  } finally {
    leave();
    if (!line.isBusy) lines.delete(key);
  }
}

function contentionOf(space: Space): Contention {
  let contention = contentions.get(space);
  if (contention === undefined) {
    const patience = new LRUCache<string, Patience>({ max: MAX_REMEMBERED_NAMES });
    contentions.set(space, contention = { patience, lines: new Map() });
  }
  return contention;
}
