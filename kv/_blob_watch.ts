import { systemClock } from "../client/clock.ts";
import type { Codec } from "../client/codec.ts";
import { checkBoolean, checkOptions, checkString } from "../client/validate.ts";
import { jsflowLogger } from "../trace/log.ts";
import {
  type BlobMeta,
  decodeMeta,
  nameOf,
  nameToken,
  type ParsedMeta,
  parseMeta,
  stamped,
} from "./_blob_meta.ts";
import type { BlobStream } from "./_blob_stream.ts";
import type { Bounds, Bucket, RawEntry } from "./_bucket.ts";
import type { KeyNames } from "./_key_names.ts";
import { lastOfNames, listNames } from "./_list_keys.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import { openWatch } from "./_watch.ts";
import { BlobDamagedError } from "./blob_damaged_error.ts";
import type { BlobInfo } from "./blob_info.ts";
import type { BlobChange, BlobWatchOptions } from "./blob_options.ts";
import type { BlobWatch } from "./blobs.ts";
import type { Change } from "./entry.ts";
import type { KeyedCodec } from "./keyed_codec.ts";
import type { Watch } from "./watch.ts";

/** Descriptions that are read at a time while blobs are listed. */
const LIST_BATCH = 256;

/** Gives the blobs that there are, those too that are replaced meanwhile. */
export async function* listBlobs(
  stream: BlobStream,
  { prefix, ...bounds }: Bounds & { readonly prefix: string },
): AsyncGenerator<BlobInfo, void, undefined> {
  const descriptions = descriptionsOf(stream, tokens);
  const matches = (token: string) => nameOf(token).startsWith(prefix);
  const batch = new Map<string, number>();
  const listed = listNames(descriptions, { pattern: ">", matches }, bounds);
  for await (const { name, revision } of listed) {
    batch.set(name, revision);
    if (batch.size < LIST_BATCH) continue;
    yield* infosOf(descriptions, batch, bounds);
    batch.clear();
  }
  yield* infosOf(descriptions, batch, bounds);
}

/** The blobs of descriptions that are known to have come to these revisions. */
async function* infosOf(
  descriptions: Bucket,
  batch: ReadonlyMap<string, number>,
  bounds: Bounds,
): AsyncGenerator<BlobInfo, void, undefined> {
  if (batch.size === 0) return;
  const isDoubtful = (name: string, last: RawEntry | undefined) =>
    (last?.revision ?? 0) < (batch.get(name) ?? 0);
  const found = await lastOfNames(descriptions, [...batch.keys()], { ...bounds, isDoubtful });
  for (const raw of found.values()) {
    const meta = readable(descriptions.name, raw);
    if (meta?.isDeleted === false) yield meta.info;
  }
}

/** One that other software has damaged must not hide all others. */
function readable(bucket: string, raw: RawEntry): BlobMeta | undefined {
  try {
    return decodeMeta(bucket, raw);
  } catch (error) {
    const blob = error instanceof BlobDamagedError ? error.blob : nameOf(raw.name);
    const details = { bucket, blob, error };
    jsflowLogger("kv").warn("blob {blob} of bucket {bucket} is not listed: {error}", details);
    return undefined;
  }
}

/** Begins to watch blobs. */
export function watchBlobs(stream: BlobStream, options?: BlobWatchOptions): BlobWatch {
  const { removals = true, ...rest } = checkOptions("watch", options, [
    "prefix",
    "from",
    "removals",
    "maxPending",
    "signal",
  ]);
  checkBoolean("watch: removals", removals);
  const watch = openWatch(descriptionsOf(stream, blobNames), descriptionCodec, rest);
  return new WatchedBlobs(watch, removals);
}

/** Turns the changes of descriptions into changes of blobs. */
class WatchedBlobs implements BlobWatch {
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  readonly #watch: Watch<ParsedMeta>;
  readonly #removals: boolean;

  constructor(watch: Watch<ParsedMeta>, removals: boolean) {
    this.ready = watch.ready;
    this.closed = watch.closed;
    this.#watch = watch;
    this.#removals = removals;
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<BlobChange, undefined> {
    const changes = this.#watch[Symbol.asyncIterator]();
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      await this.close();
      return { done: true, value: undefined };
    };
    return {
      next: async () => {
        for (;;) {
          const { done, value } = await changes.next();
          if (done) return { done, value: undefined };
          const change = turn(value);
          if (change === undefined) continue;
          if (this.#removals || change.operation === "put") return { done: false, value: change };
        }
      },
      return: end,
      throw: async (error: unknown) => {
        await end();
        throw error;
      },
    };
  }
}

/** Undefined for what is no description: a mark that an expired one has left. */
function turn(change: Change<ParsedMeta>): BlobChange | undefined {
  if (change.operation !== "put") return undefined;
  const { info, isDeleted } = change.value;
  const { initial } = change;
  return { operation: isDeleted ? "delete" : "put", info: stamped(info, change), initial };
}

/** The descriptions of a bucket as the values of keys. */
function descriptionsOf(
  { core, bucket, stream, facts }: BlobStream,
  keys: KeyNames,
): Bucket {
  return new StreamBucket({
    core,
    name: bucket,
    stream,
    subjectPrefix: `$O.${bucket}.M.`,
    keys,
    facts,
    clock: systemClock,
    random: Math.random,
  });
}

/** Tokens as they are: some clients write names that aren't UTF-8. */
const tokens: KeyNames = {
  encode: (token) => token,
  decode: (token) => token,
  filter: () => ({ pattern: ">", matches: () => true }),
};

const blobNames: KeyNames = {
  encode: nameToken,
  decode: nameOf,
  filter: ({ prefix = "" }) => {
    checkString("prefix", prefix, { minLength: 0 });
    return { pattern: ">", matches: (name) => name.startsWith(prefix) };
  },
};

const descriptionCodec: KeyedCodec<ParsedMeta> = {
  ...unboundCodec(""),
  bind: ({ bucket, key }) => unboundCodec(bucket, nameToken(key)),
};

function unboundCodec(bucket: string, token = ""): Codec<ParsedMeta> {
  return {
    contentType: "application/json",
    encode: () => new Uint8Array(0), // they are only read
    decode: (bytes) => parseMeta(bucket, { token, bytes }),
  };
}
