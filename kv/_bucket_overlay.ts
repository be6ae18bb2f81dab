import type { Bucket } from "./_bucket.ts";

/** The same bucket, but for the calls that are given. */
export function overlayBucket(bucket: Bucket, own: Partial<Bucket>): Bucket {
  return {
    name: bucket.name,
    stream: bucket.stream,
    subjectPrefix: bucket.subjectPrefix,
    core: bucket.core,
    keys: bucket.keys,
    facts: bucket.facts,
    last: (name, bounds) => bucket.last(name, bounds),
    lastAtLeader: (name, bounds) => bucket.lastAtLeader(name, bounds),
    lastOfMany: (names, bounds) => bucket.lastOfMany(names, bounds),
    write: (write, bounds) => bucket.write(write, bounds),
    history: (name, bounds) => bucket.history(name, bounds),
    ...own,
  };
}
