import { tryStreamInfo } from "../client/streams.ts";
import type { Bounds, Bucket, RawEntry } from "./_bucket.ts";
import { bucketNotFound } from "./_bucket_errors.ts";
import type { NameFilter } from "./_key_names.ts";
import { readEntries } from "./_read_entries.ts";

/** Keys that the leader is asked for at a time. */
const MAX_PARALLEL_READS = 64;

/** The keys that hold a value, each once; see {@link listNames}. */
export async function* listKeys(
  bucket: Bucket,
  filter: NameFilter,
  bounds: Bounds,
): AsyncGenerator<string, void, undefined> {
  for await (const { key } of listNames(bucket, filter, bounds)) yield key;
}

/** A key that holds a value. */
export interface ListedName {
  readonly key: string;
  /** The key as it stands in the subject. */
  readonly name: string;
  /** The revision by which it was found. */
  readonly revision: number;
}

/**
 * The keys that hold a value, each once.
 *
 * The time bounds each wait for the server, not what the reader takes. A key that is overwritten
 * while they are listed is not delivered where the listing expects it: those that were written
 * meanwhile are looked up by name.
 */
export async function* listNames(
  bucket: Bucket,
  filter: NameFilter,
  bounds: Bounds,
): AsyncGenerator<ListedName, void, undefined> {
  const { pattern, matches } = filter;
  const keyOf = (name: string) => {
    const key = bucket.keys.decode(name);
    return key !== undefined && matches(key) ? key : undefined;
  };
  /** Names, and whether their keys were given. */
  const seen = new Map<string, boolean>();
  const before = await lastSequence(bucket, bounds);
  const query = { pattern, from: "last", headersOnly: true } as const;
  for await (const { name, operation, revision } of readEntries(bucket, query, bounds)) {
    const key = keyOf(name);
    if (key === undefined || seen.get(name)) continue;
    seen.set(name, operation === "put"); // a replica that is behind may give what follows a removal
    if (operation === "put") yield { key, name, revision };
  }
  if (await lastSequence(bucket, bounds) === before) return;
  const names = (await storedNames(bucket, pattern, bounds)).filter((name) => !seen.has(name));
  const isDoubtful = (_name: string, last: RawEntry | undefined) => last?.operation !== "put";
  const last = await lastOfNames(bucket, names, { ...bounds, isDoubtful });
  for (const { name, operation, revision } of last.values()) {
    const key = keyOf(name);
    if (key !== undefined && operation === "put") yield { key, name, revision };
  }
}

/** How the last revisions of names are read. */
export interface LastOfNamesOptions extends Bounds {
  /** Whether a replica that says so may be behind. */
  readonly isDoubtful: (name: string, last: RawEntry | undefined) => boolean;
}

/** The last revisions of names; what is doubtful is asked of the leader. */
export async function lastOfNames(
  bucket: Bucket,
  names: readonly string[],
  { isDoubtful, ...bounds }: LastOfNamesOptions,
): Promise<Map<string, RawEntry>> {
  const found = await bucket.lastOfMany(names, bounds);
  if (bucket.facts.replicas === 1) return found;
  const doubtful = names.filter((name) => isDoubtful(name, found.get(name)));
  for (let at = 0; at < doubtful.length; at += MAX_PARALLEL_READS) {
    await Promise.all(
      doubtful.slice(at, at + MAX_PARALLEL_READS).map(async (name) => {
        const last = await bucket.lastAtLeader(name, bounds);
        if (last !== undefined) found.set(name, last);
      }),
    );
  }
  return found;
}

async function lastSequence(bucket: Bucket, bounds: Bounds): Promise<number> {
  const info = await tryStreamInfo(bucket.core, bucket.stream, { ...bounds });
  if (info === undefined) throw bucketNotFound(bucket.name);
  return info.lastSequence;
}

/** The names under which anything is stored, a marker too. */
async function storedNames(bucket: Bucket, pattern: string, bounds: Bounds): Promise<string[]> {
  const { core, stream, subjectPrefix } = bucket;
  const what = `list the keys of bucket ${bucket.name}`;
  const subjects = await core.guard(what, { ...bounds, jetstream: true }, async (signal) => {
    const manager = await core.manager({ ...bounds, signal });
    const query = { subjects_filter: subjectPrefix + pattern };
    return Object.keys((await manager.streams.info(stream, query)).state.subjects ?? {});
  });
  return subjects.map((subject) => subject.slice(subjectPrefix.length));
}
