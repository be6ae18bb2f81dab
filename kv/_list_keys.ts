import { tryStreamInfo } from "../client/streams.ts";
import { translateError } from "../client/translate_error.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import { bucketNotFound } from "./_bucket_errors.ts";
import type { NameFilter } from "./_key_names.ts";
import { readEntries } from "./_read_entries.ts";

/**
 * The keys that hold a value, each once.
 *
 * The time bounds each wait for the server, not what the reader takes. One that is overwritten while it is listed is not delivered where the listing expects it: those
 * that were written meanwhile are looked up by name.
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
  const seen = new Set<string>();
  const before = await lastSequence(bucket, bounds);
  const query = { pattern, from: "last", headersOnly: true } as const;
  for await (const { name, operation } of readEntries(bucket, query, bounds)) {
    const key = keyOf(name);
    if (key === undefined || seen.has(name)) continue;
    seen.add(name);
    if (operation === "put") yield key;
  }
  if (await lastSequence(bucket, bounds) === before) return;
  const names = (await storedNames(bucket, pattern, bounds)).filter((name) => !seen.has(name));
  for (const [name, { operation }] of await bucket.lastOfMany(names, bounds)) {
    const key = keyOf(name);
    if (key !== undefined && operation === "put") yield key;
  }
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
