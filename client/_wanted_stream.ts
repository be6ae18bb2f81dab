import { OWN_FIELDS, ownNameOf, writeNative } from "./_stream_fields.ts";
import type { ServerCapabilities, ServerFeature } from "./server_capabilities.ts";
import type { StreamConfig } from "./stream_config.ts";
import { checkStreamName } from "./stream_name.ts";
import type { NativeStreamConfig } from "./stream_native.ts";
import { checkSubjectFilter, filterCovers, filtersOverlap } from "./subject_filter.ts";
import {
  checkBoolean,
  checkDurationMs,
  checkInteger,
  checkObject,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from "./validate.ts";

/** A stream's configuration, checked: only what the caller named. */
export interface WantedStream {
  readonly name: string;
  /** Our fields. */
  readonly own: Readonly<Record<string, unknown>>;
  /** Native settings without a field of ours. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** Both in the server's terms, for creating it. */
  readonly native: NativeStreamConfig;
}

/** A hundred years: beyond that the server's nanoseconds overflow. */
const MAX_AGE_MS = 3_155_760_000_000;
const MIN_AGE_MS = 100;
const STORAGE = ["file", "memory"];
const RETENTION = ["limits", "interest", "workqueue"];

type Check = (name: string, value: unknown) => unknown;

const limit: Check = (name, value) =>
  value === Infinity ? value : checkInteger(name, value, { min: 1 });
const age: Check = (name, value) =>
  checkDurationMs(name, value, { min: MIN_AGE_MS, max: MAX_AGE_MS });
const choice = (choices: readonly string[]): Check => (name, value) =>
  checkOneOf(name, value, choices);

const CHECKS: Readonly<Record<string, Check>> = {
  name: checkStreamName,
  subjects: checkSubjects,
  description: (name, value) => checkString(name, value, { minLength: 0, maxLength: 4096 }),
  storage: choice(STORAGE),
  retention: choice(RETENTION),
  maxAgeMs: (name, value) => value === Infinity ? value : age(name, value),
  maxBytes: limit,
  maxMessages: limit,
  maxMessagesPerSubject: limit,
  maxMessageBytes: limit,
  maxConsumers: limit,
  replicas: (name, value) => checkInteger(name, value, { min: 1, max: 5 }),
  duplicateWindowMs: age,
  discard: choice(["old", "new"]),
  allowDirect: checkBoolean,
  allowRollup: checkBoolean,
  allowMessageTtl: checkBoolean,
  denyDelete: checkBoolean,
  denyPurge: checkBoolean,
  compression: choice(["none", "s2"]),
  metadata: checkMetadata,
};

/**
 * Checks a stream's configuration, before any I/O.
 *
 * @throws {TypeError | RangeError} when a field is invalid, unknown or missing.
 */
export function checkStreamConfig(what: string, config: StreamConfig): WantedStream {
  if (config === undefined) throw new TypeError(`${what} needs a configuration`);
  checkOptions(what, config, [...OWN_FIELDS, "native"]);
  const own: Record<string, unknown> = {};
  for (const field of OWN_FIELDS) {
    const value = config[field];
    if (value !== undefined) own[field] = CHECKS[field]?.(`${what}: ${field}`, value);
  }
  const name = checkStreamName(`${what}: name`, own["name"]);
  const extra = checkExtra(what, config.native);
  checkTogether(what, own, extra);
  const native = { ...writeNative(own), ...structuredClone(extra) };
  return { name, own, extra, native: native as unknown as NativeStreamConfig };
}

/** Features that a setting needs, by its native name; each is ignored by older servers. */
const NEEDS: Readonly<Record<string, ServerFeature>> = {
  allow_atomic: "atomic_batch",
  allow_batched: "fast_ingest",
  allow_msg_counter: "counters",
  allow_msg_schedules: "schedules",
  allow_msg_ttl: "message_ttl",
  compression: "compression",
  metadata: "metadata",
  subject_delete_marker_ttl: "message_ttl",
  subject_transform: "subject_transforms",
};

/**
 * Returns the configuration for a server, once it is known to understand all that is wanted.
 *
 * @throws {JsflowError} `unsupported` when it does not.
 */
export function nativeFor(server: ServerCapabilities, wanted: WantedStream): NativeStreamConfig {
  const known: [string, unknown][] = [];
  for (const [key, value] of Object.entries(wanted.native)) {
    const feature = NEEDS[key];
    if (feature === undefined || server.supports(feature)) known.push([key, value]);
    else if (!isUnset(value)) server.require(feature);
  }
  return structuredClone(Object.fromEntries(known)) as unknown as NativeStreamConfig;
}

/** What a server does that has never heard of the setting. */
function isUnset(value: unknown): boolean {
  if (value === false || value === "none" || value === 0) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function checkSubjects(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) {
    throw new TypeError(`${name} must be an array of subjects, got ${describe(value)}`);
  }
  const subjects = value.map((item, index) => checkSubjectFilter(`${name}[${index}]`, item));
  for (const [index, subject] of subjects.entries()) {
    const other = subjects.slice(0, index).find((before) => filtersOverlap(before, subject));
    if (other === undefined) continue;
    throw new TypeError(`${name} must not overlap: ${describe(other)} and ${describe(subject)}`);
  }
  return subjects;
}

function checkMetadata(name: string, value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(checkObject(name, value));
  for (const [key, text] of entries) {
    checkString(`${name}.${key}`, text, { minLength: 0 });
    if (key.startsWith("_nats")) {
      throw new TypeError(
        `${name} must not have names that begin with _nats, got ${describe(key)}`,
      );
    }
  }
  return Object.fromEntries(entries);
}

function checkExtra(what: string, native: unknown): Readonly<Record<string, unknown>> {
  if (native === undefined) return {};
  const entries = Object.entries(checkObject(`${what}: native`, native));
  for (const [key] of entries) {
    const own = ownNameOf(key);
    if (own !== undefined) {
      throw new TypeError(`${what}: native must not have ${key}: it is called ${own} here`);
    }
  }
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function checkTogether(
  what: string,
  own: Readonly<Record<string, unknown>>,
  extra: Readonly<Record<string, unknown>>,
): void {
  const { subjects, maxAgeMs, duplicateWindowMs } = own as {
    subjects?: readonly string[];
    maxAgeMs?: number;
    duplicateWindowMs?: number;
  };
  const copies = extra["mirror"] !== undefined || extra["sources"] !== undefined;
  if ((subjects === undefined || subjects.length === 0) && !copies) {
    throw new TypeError(`${what}: subjects must name at least one subject`);
  }
  const reserved = (subjects ?? []).find(isReserved);
  if (reserved !== undefined && extra["no_ack"] !== true) {
    throw new TypeError(
      `${what}: subjects must not overlap with $JS.> and $SYS.>, which the server uses itself, ` +
        `got ${describe(reserved)}`,
    );
  }
  if (duplicateWindowMs !== undefined && duplicateWindowMs > (maxAgeMs ?? Infinity)) {
    throw new RangeError(
      `${what}: duplicateWindowMs must not exceed maxAgeMs, got ${duplicateWindowMs} and ${maxAgeMs}`,
    );
  }
}

/** Events about streams and accounts can be captured; the rest would answer itself. */
function isReserved(subject: string): boolean {
  if (filterCovers("$JS.EVENT.>", subject) || filterCovers("$SYS.ACCOUNT.>", subject)) return false;
  return filtersOverlap("$JS.>", subject) || filtersOverlap("$SYS.>", subject);
}
