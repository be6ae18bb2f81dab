import type { Clock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";
import type { Bounds, Bucket, BucketFacts, RawEntry, RawWrite } from "./_bucket.ts";
import { BucketReads } from "./_bucket_reads.ts";
import { BucketWrites } from "./_bucket_writes.ts";
import type { KeyNames } from "./_key_names.ts";

/** What a bucket is made of. */
export interface StreamBucketSettings {
  readonly core: ClientCore;
  readonly name: string;
  readonly stream: string;
  readonly subjectPrefix: string;
  readonly keys: KeyNames;
  readonly facts: BucketFacts;
  readonly clock: Clock;
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number;
}

/** A bucket in a stream of its own. */
export class StreamBucket implements Bucket {
  readonly name: string;
  readonly stream: string;
  readonly subjectPrefix: string;
  readonly core: ClientCore;
  readonly keys: KeyNames;
  readonly facts: BucketFacts;
  readonly #reads: BucketReads;
  readonly #writes: BucketWrites;

  constructor(settings: StreamBucketSettings) {
    this.name = settings.name;
    this.stream = settings.stream;
    this.subjectPrefix = settings.subjectPrefix;
    this.core = settings.core;
    this.keys = settings.keys;
    this.facts = settings.facts;
    this.#reads = new BucketReads(settings);
    this.#writes = new BucketWrites({ ...settings, reads: this.#reads });
  }

  async last(name: string, bounds: Bounds): Promise<RawEntry | undefined> {
    return this.#noted(await this.#reads.last(name, bounds));
  }

  async lastAtLeader(name: string, bounds: Bounds): Promise<RawEntry | undefined> {
    return this.#noted(await this.#reads.lastAtLeader(name, bounds));
  }

  async lastOfMany(names: readonly string[], bounds: Bounds): Promise<Map<string, RawEntry>> {
    return await this.#reads.lastOfMany(names, bounds);
  }

  async history(name: string, bounds: Bounds): Promise<RawEntry[]> {
    return await this.#reads.since({ name, revision: 1, leader: false }, bounds);
  }

  async write(write: RawWrite, bounds: Bounds): Promise<number> {
    return await this.#writes.write(write, bounds);
  }

  #noted(entry: RawEntry | undefined): RawEntry | undefined {
    if (entry !== undefined) this.#writes.note(entry);
    return entry;
  }
}
