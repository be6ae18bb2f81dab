import { tryStreamInfo } from "../client/streams.ts";
import { translateError } from "../client/translate_error.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import { bucketNotFound } from "./_bucket_errors.ts";
import type { NameFilter } from "./_key_names.ts";
import { readEntries } from "./_read_entries.ts";

/** Keys that the leader is asked for at a time. */
const MAX_PARALLEL_READS = 64;

/**
 * The keys that hold a value, each once.
 *
 * The time bounds each wait for the server, not what the reader takes. A key that is overwritten
 * while they are listed is not delivered where the listing expects it: those that were written
 * meanwhile are looked up by name.
 */
export async function* listKeys(
  bucket: Bucket,
  filter: NameFilter,
  bounds: Bounds,
): AsyncGenerator<string, void, undefined> {
  const { pattern, matches } = filter;
  const keyOf = (name: string) => {
    const key = bucket.keys.decode(name);
    return key !== undefined && matches(key) ? key : undefined;
  };
  /** Names, and whether their keys were given. */
  const seen = new Map<string, boolean>();
  const before = await lastSequence(bucket, bounds);
  const query = { pattern, from: "last", headersOnly: true } as const;
  for await (const { name, operation } of readEntries(bucket, query, bounds)) {
    const key = keyOf(name);
    if (key === undefined || seen.get(name)) continue;
    seen.set(name, operation === "put"); // a replica that is behind may give what follows a removal
    if (operation === "put") yield key;
  }
  if (await lastSequence(bucket, bounds) === before) return;
  const names = (await storedNames(bucket, pattern, bounds)).filter((name) => !seen.has(name));
  for (const name of await valuesAmong(bucket, names, bounds)) {
    const key = keyOf(name);
    if (key !== undefined) yield key;
  }
}

/** Those that hold a value; a replica may be behind, so its no is not believed. */
async function valuesAmong(
  bucket: Bucket,
  names: readonly string[],
  bounds: Bounds,
): Promise<readonly string[]> {
  const found = await bucket.lastOfMany(names, bounds);
  const isValue = (name: string) => found.get(name)?.operation === "put";
  const doubtful = bucket.facts.replicas === 1 ? [] : names.filter((name) => !isValue(name));
  for (let at = 0; at < doubtful.length; at += MAX_PARALLEL_READS) {
    await Promise.all(
      doubtful.slice(at, at + MAX_PARALLEL_READS).map(async (name) => {
        const last = await bucket.lastAtLeader(name, bounds);
        if (last !== undefined) found.set(name, last);
      }),
    );
  }
  return names.filter(isValue);
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
    try {
      const query = { subjects_filter: subjectPrefix + pattern };
      return Object.keys((await manager.streams.info(stream, query)).state.subjects ?? {});
    } catch (error) {
      throw translateError(error, what);
    }
  });
  return subjects.map((subject) => subject.slice(subjectPrefix.length));
}
