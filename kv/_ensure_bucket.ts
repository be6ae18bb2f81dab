import type { ClientCore } from "../client/core.ts";
import { ensureStream } from "../client/ensure_stream.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { type ServerCapabilities, serverCapabilities } from "../client/server_capabilities.ts";
import type { StreamConfig } from "../client/stream_config.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { tryStreamInfo } from "../client/streams.ts";
import type { Bounds, BucketFacts } from "./_bucket.ts";
import type { WantedBucket } from "./_check_store.ts";

/** Milliseconds in which the stream drops a second copy of a write. */
const DUPLICATE_WINDOW_MS = 120_000;
/** Milliseconds that the mark of an expired key stays, for those who were away. */
const EXPIRY_MARK_MS = 3_600_000;
/** Bytes of headers that a write may need besides its value. */
const HEADER_BYTES = 4_096;
const NANOS = 1_000_000;

/** The stream of a bucket. */
export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

/** What stands before the names of a bucket's keys. */
export function subjectPrefixOf(bucket: string): string {
  return `$KV.${bucket}.`;
}

/** The bucket that a stream is; undefined when it is none, or the mirror of one. */
export function bucketOf({ config }: StreamInfo): string | undefined {
  const [subject = ""] = config.subjects;
  return /^\$KV\.([A-Za-z0-9_-]+)\.>$/.exec(subject)?.[1];
}

/**
 * Creates a bucket's stream, or checks the one that exists: what other clients leave at other
 * defaults is compared only when the caller has named it.
 */
export async function ensureBucket(
  core: ClientCore,
  wanted: WantedBucket,
  left: () => Bounds,
): Promise<StreamInfo> {
  const name = streamOf(wanted.bucket);
  if (wanted.perKeyTtl === true) requireLifetimes(core);
  for (let attempt = 0;; attempt++) {
    const existing = await tryStreamInfo(core, name, { ...left() });
    const config = existing === undefined ? newConfig(wanted) : namedConfig(wanted, existing);
    try {
      return await ensureStream(core, config, { ...left(), onDrift: wanted.onDrift });
    } catch (error) {
      // Another client may have created it in between, with defaults of its own.
      const isRace = existing === undefined && isJsflowError(error, "config_drift");
      if (!isRace || attempt > 0) throw error;
    }
  }
}

/** The first servers that know lifetimes let each last as long as the mark of its end. */
function requireLifetimes(core: ClientCore): void {
  const server = serverOf(core);
  server.require("message_ttl");
  if (!/^2\.11\.[01]\b/.test(server.version)) return;
  throw new JsflowError(
    "unsupported",
    `cannot use perKeyTtl: it needs nats-server 2.11.2 or newer, and the server is ${server.version}; ` +
      "upgrade the server or do without",
  );
}

/** What a bucket must be, and what the caller has named. */
function namedConfig(wanted: WantedBucket, existing: StreamInfo | undefined): StreamConfig {
  const { bucket, ttlMs, perKeyTtl, maxValueBytes, compression } = wanted;
  // Those of other clients may stay for another time.
  const needsMarks = perKeyTtl === true && !existing?.native.config.subject_delete_marker_ttl;
  const native = needsMarks ? { subject_delete_marker_ttl: EXPIRY_MARK_MS * NANOS } : undefined;
  return {
    name: streamOf(bucket),
    subjects: [`${subjectPrefixOf(bucket)}>`],
    retention: "limits",
    allowRollup: true,
    maxMessagesPerSubject: wanted.history,
    maxAgeMs: ttlMs,
    allowMessageTtl: perKeyTtl,
    replicas: wanted.replicas,
    storage: wanted.storage,
    maxBytes: wanted.maxBytes,
    maxMessageBytes: maxValueBytes === undefined ? undefined : maxValueBytes + HEADER_BYTES,
    compression: compression === undefined ? undefined : compression ? "s2" : "none",
    description: wanted.description,
    native,
  };
}

/** What a new bucket is: what other clients make it, where the caller has named nothing. */
function newConfig(wanted: WantedBucket): StreamConfig {
  const { history = 1, ttlMs = Infinity } = wanted;
  return {
    ...namedConfig(wanted, undefined),
    maxMessagesPerSubject: history,
    maxAgeMs: ttlMs,
    discard: "new",
    allowDirect: true,
    denyDelete: true,
    duplicateWindowMs: Math.min(DUPLICATE_WINDOW_MS, ttlMs),
  };
}

/** What else is built on a bucket's stream needs to know of it. */
export function factsOf(info: StreamInfo): BucketFacts {
  const { config } = info;
  return {
    replicas: config.replicas,
    history: config.maxMessagesPerSubject,
    allowDirect: config.allowDirect,
    allowMessageTtl: config.allowMessageTtl,
    createdMs: info.created.getTime(),
  };
}

/** Refuses compare-and-set that does not fence. */
export function refuseUnsafeCas(
  core: ClientCore,
  bucket: { readonly name: string; readonly replicas: number },
  allowUnsafeCas: boolean,
): void {
  if (allowUnsafeCas || bucket.replicas <= 1) return;
  const server = serverOf(core);
  if (server.supports("replicated_cas")) return;
  throw new JsflowError(
    "unsafe_cas",
    `cannot use bucket ${bucket.name} on ${bucket.replicas} replicas: nats-server ` +
      `${server.version} lets two writers win the same compare-and-set on a replicated stream; ` +
      "upgrade to 2.11 or newer, use replicas: 1, or pass allowUnsafeCas",
  );
}

function serverOf(core: ClientCore): ServerCapabilities {
  return serverCapabilities(core.connection.info?.version ?? "unknown");
}
