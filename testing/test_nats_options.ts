import {
  checkBoolean,
  checkDurationMs,
  checkOptions,
  checkString,
  describe,
} from "../client/validate.ts";
import type { NatsServerOptions } from "./server_options.ts";

/**
 * What a test wants to have, in a word:
 *
 * - `"minimal"`: publish and subscribe only, no JetStream.
 * - `"fast"`: JetStream in 64 MB of memory; a start that takes 5 seconds is a failure.
 * - `"jetstream"`: JetStream, what is created is kept in memory.
 * - `"kv"`: the same and a bucket called "test" unless `buckets` says otherwise.
 * - `"integration"`: JetStream in memory, with 30 seconds to start, for busy machines.
 * - `"e2e"`: the same with files in place of memory.
 * - `"production"`: files, every write synced to the disk (by servers since 2.10), a user with a
 *   password, 30 seconds to start.
 */
export type TestNatsPreset =
  | "e2e"
  | "fast"
  | "integration"
  | "jetstream"
  | "kv"
  | "minimal"
  | "production";

/** A stream to be created for a test. */
export interface TestStream {
  /** The stream's name. */
  readonly name: string;
  /** The subjects that it captures. */
  readonly subjects: readonly string[];
}

/** What to create, and how to connect, when a test's connection is opened. */
export interface TestContents {
  /** Key-value buckets to create, by their names without the prefix. @default none */
  readonly buckets?: readonly string[] | undefined;
  /** Streams to create. @default none */
  readonly streams?: readonly TestStream[] | undefined;
  /** Milliseconds for opening the connection. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Put before the names of all buckets, so that tests on one server don't meet. */
  readonly bucketPrefix?: string | undefined;
}

/** How `startTestNats` starts a server. */
export interface TestNatsOptions extends TestContents {
  /** What the test wants to have. @default "jetstream" */
  readonly preset?: TestNatsPreset | undefined;
  /** Keep what is created in files rather than in memory. @default by preset */
  readonly fileStorage?: boolean | undefined;
  /** The exact server version. @default what `findServer` finds */
  readonly version?: string | undefined;
  /** Milliseconds for the server to become ready. @default by preset, mostly 10_000 */
  readonly startTimeoutMs?: number | undefined;
  /** More options of the server; they win over the preset's. */
  readonly server?: NatsServerOptions | undefined;
}

/** Options of a test's connection, checked and completed. */
export interface ContentsSettings {
  readonly buckets: readonly string[];
  readonly streams: readonly TestStream[];
  readonly connectTimeoutMs: number;
  readonly bucketPrefix: string;
  readonly storage: "file" | "memory";
}

/** What a preset stands for. */
interface Preset {
  readonly server: NatsServerOptions;
  readonly fileStorage?: boolean;
  readonly buckets?: readonly string[];
  /** Every write is synced to the disk, where the server can. */
  readonly syncs?: boolean;
}

const BUSY_MS = 30_000;
const presets: Readonly<Record<TestNatsPreset, Preset>> = {
  minimal: { server: { jetstream: false } },
  fast: { server: { jetstream: { max_memory_store: 64 * 1024 * 1024 }, startTimeoutMs: 5_000 } },
  jetstream: { server: {} },
  kv: { server: {}, buckets: ["test"] },
  integration: { server: { startTimeoutMs: BUSY_MS } },
  e2e: { server: { startTimeoutMs: BUSY_MS }, fileStorage: true },
  production: {
    server: { startTimeoutMs: BUSY_MS, auth: { user: "test", pass: "test-password" } },
    fileStorage: true,
    syncs: true,
  },
};

const CONTENTS_KEYS = ["bucketPrefix", "buckets", "connectTimeoutMs", "streams"] as const;
const KEYS = [
  ...CONTENTS_KEYS,
  "fileStorage",
  "preset",
  "server",
  "startTimeoutMs",
  "version",
] as const;

/** Everything that `startTestNats` needs to know. */
export interface TestNatsSettings {
  readonly server: NatsServerOptions;
  readonly syncs: boolean;
  readonly contents: ContentsSettings;
}

/** Checks each option before anything is started. */
export function parseTestNatsOptions(options: TestNatsOptions | undefined): TestNatsSettings {
  const given: TestNatsOptions = checkOptions("startTestNats", options, KEYS);
  const preset = findPreset(given.preset ?? "jetstream");
  const { version, startTimeoutMs } = given;
  const fileStorage = checkBoolean("fileStorage", given.fileStorage ?? preset.fileStorage ?? false);
  const contents = parse({ ...given, buckets: given.buckets ?? preset.buckets }, fileStorage);
  const server = {
    ...preset.server,
    ...(version === undefined ? {} : { version: checkString("version", version) }),
    ...(startTimeoutMs === undefined ? {} : { startTimeoutMs }),
    ...checkOptions("server", given.server, Object.keys(given.server ?? {}) as never),
  };
  const needsJetStream = contents.buckets.length + contents.streams.length > 0;
  if (needsJetStream && server.jetstream === false) {
    throw new TypeError("buckets and streams need JetStream, which is off here");
  }
  return { server, syncs: preset.syncs ?? false, contents };
}

/** Checks the options of a connection to a shared server. */
export function parseContents(
  options: TestContents | undefined,
  defaultPrefix: string,
): ContentsSettings {
  const given: TestContents = checkOptions("sharedTestNats", options, CONTENTS_KEYS);
  return parse({ ...given, bucketPrefix: given.bucketPrefix ?? defaultPrefix }, false);
}

/** A bucket's name with its prefix. */
export function prefixedName(prefix: string, name: string): string {
  checkString("bucket", name);
  const whole = `${prefix}${name}`;
  if (/^[\w-]+$/.test(whole)) return whole;
  throw new TypeError(`a bucket's name must consist of A-Z a-z 0-9 _ -, got ${describe(whole)}`);
}

function findPreset(name: TestNatsPreset): Preset {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset !== undefined) return preset;
  const known = Object.keys(presets).sort().join(", ");
  throw new TypeError(`preset must be one of ${known}, got ${describe(name)}`);
}

function parse(given: TestContents, fileStorage: boolean): ContentsSettings {
  const { buckets = [], streams = [], connectTimeoutMs = 5_000, bucketPrefix = "" } = given;
  checkString("bucketPrefix", bucketPrefix, { minLength: 0 });
  for (const bucket of buckets) prefixedName(bucketPrefix, bucket);
  for (const stream of streams) {
    checkOptions("streams", stream, ["name", "subjects"]);
    checkString("streams: name", stream.name);
    if (!Array.isArray(stream.subjects)) throw new TypeError("streams: subjects must be an array");
  }
  return {
    buckets,
    streams,
    connectTimeoutMs: checkDurationMs("connectTimeoutMs", connectTimeoutMs, { min: 1 }),
    bucketPrefix,
    storage: fileStorage ? "file" : "memory",
  };
}
