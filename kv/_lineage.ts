import type { RawEntry } from "./_bucket.ts";

/** Carries the identity of a write, and lets the stream drop a second copy of it. */
export const NONCE_HEADER = "Nats-Msg-Id";
/** Carries what a write by compare-and-set knew of the revisions before it, the newest first. */
export const PRIOR_HEADER = "Jsflow-Prior";
/** Revisions that a write knows of before it, at most. */
export const MAX_PRIOR = 16;

/** Nonces of ours; other writers' ids are of no use here. */
const NONCE = /^[A-Za-z0-9_-]{12}$/;

/** One revision of a key, as a later writer remembers it. */
export interface Ancestor {
  /** 0 stands for the time before the key held anything. */
  readonly revision: number;
  /** Its nonce; `null` when it had none of ours, undefined when the writer didn't know. */
  readonly nonce: string | null | undefined;
}

/** A revision, and what is known about those that it replaced. */
export interface Lineage extends Ancestor {
  /** Without a gap, the newest first. */
  readonly prior: readonly Ancestor[];
}

/** The time before a key held anything. */
export const NOTHING: Lineage = { revision: 0, nonce: null, prior: [] };

/** Reads the lineage of a stored revision. */
export function lineageOf(entry: Pick<RawEntry, "revision" | "header">): Lineage {
  const { revision } = entry;
  return { revision, nonce: nonceOf(entry), prior: parsePrior(entry.header(PRIOR_HEADER) ?? "") };
}

/** The identity of the write that stored a revision; `null` for another writer's. */
export function nonceOf(entry: Pick<RawEntry, "header">): string | null {
  const id = entry.header(NONCE_HEADER);
  return id !== undefined && NONCE.test(id) ? id : null;
}

/** Writes what the next writer is to know: the revision that it replaces, and those before. */
export function priorOf(replaced: Lineage): string {
  return ancestorsBehind(replaced).map(formatAncestor).join(" ");
}

/** What the writer of a revision that replaces this one remembers: a bounded copy. */
export function ancestorsBehind(replaced: Lineage): readonly Ancestor[] {
  return [replaced, ...replaced.prior].slice(0, MAX_PRIOR)
    .map(({ revision, nonce }) => ({ revision, nonce }));
}

/** The lineage of a revision that nobody has looked at. */
export function unknownLineage(revision: number): Lineage {
  return { revision, nonce: undefined, prior: [] };
}

function formatAncestor({ revision, nonce }: Ancestor): string {
  if (revision === 0) return "0";
  if (nonce === undefined) return `${revision}?`;
  return nonce === null ? `${revision}-` : `${revision}=${nonce}`;
}

/** Stops at what it can't read: what comes before is unknown then. */
function parsePrior(text: string): readonly Ancestor[] {
  const ancestors: Ancestor[] = [];
  for (const part of text.split(" ").slice(0, MAX_PRIOR)) {
    const match = /^(?:(0)|([1-9]\d{0,15})(?:(-)|(\?)|=([A-Za-z0-9_-]{12})))$/.exec(part);
    if (match === null) break;
    const [, zero, digits, none, , nonce] = match;
    if (zero !== undefined) ancestors.push({ revision: 0, nonce: null });
    else ancestors.push({ revision: Number(digits), nonce: none !== undefined ? null : nonce });
  }
  return ancestors;
}

/** What became of a write that expected a revision. */
export type Fate =
  | { readonly kind: "applied"; readonly revision: number }
  | { readonly kind: "refused" }
  | { readonly kind: "hidden" };

/**
 * Tells what became of the write, by the revisions that are stored after the one that it expected,
 * the oldest first.
 *
 * Every revision names those before it as far as its writer knew them, so that a write which was
 * replaced is found all the same. When a foreign or blind write hides what was before it, nobody
 * can tell.
 */
export function fateOf(
  write: { readonly nonce: string; readonly expected: number },
  stored: readonly Lineage[],
): Fate {
  for (const lineage of stored) {
    const own = [lineage, ...lineage.prior].find(({ nonce }) => nonce === write.nonce);
    if (own !== undefined) return { kind: "applied", revision: own.revision };
  }
  const oldest = stored[0];
  return oldest !== undefined && reachesBack(oldest, write.expected)
    ? { kind: "refused" }
    : { kind: "hidden" };
}

/** Whether all revisions between the two are known. */
function reachesBack({ revision, prior }: Lineage, expected: number): boolean {
  // Where a writer knew no more, the list ends.
  return [revision, ...prior.map((ancestor) => ancestor.revision)].some((at) => at <= expected);
}
