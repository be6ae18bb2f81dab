import type { StreamConfig, StreamSettings } from "./stream_config.ts";
import type { NativeStreamConfig } from "./stream_native.ts";

type OwnKey = Exclude<keyof StreamConfig, "native">;
type Turn = (value: unknown) => unknown;

/** How one field of ours is written in the server's terms, and read back. */
interface Field {
  readonly native: keyof NativeStreamConfig;
  readonly write: Turn;
  readonly read: Turn;
}

const NANOS = 1_000_000;
const asIs: Turn = (value) => value;
const writeLimit: Turn = (value) => value === Infinity ? -1 : value;
const readLimit: Turn = (value) => typeof value === "number" && value > 0 ? value : Infinity;
const writeAge: Turn = (value) => value === Infinity ? 0 : writeMs(value);
const readAge: Turn = (value) => value ? readMs(value) : Infinity;
// The server refuses fractions of a nanosecond.
const writeMs: Turn = (value) => Math.round(Number(value) * NANOS);
const readMs: Turn = (value) => Number(value ?? 0) / NANOS;
const readFlag: Turn = (value) => value === true;

const plain = (native: Field["native"], unset: unknown): Field => ({
  native,
  write: asIs,
  read: (value) => value ?? unset,
});
const limit = (native: Field["native"]): Field => ({ native, write: writeLimit, read: readLimit });
const flag = (native: Field["native"]): Field => ({ native, write: asIs, read: readFlag });

const FIELDS: Readonly<Record<OwnKey, Field>> = {
  name: plain("name", ""),
  subjects: plain("subjects", []),
  description: plain("description", ""),
  storage: plain("storage", "file"),
  retention: plain("retention", "limits"),
  maxAgeMs: { native: "max_age", write: writeAge, read: readAge },
  maxBytes: limit("max_bytes"),
  maxMessages: limit("max_msgs"),
  maxMessagesPerSubject: limit("max_msgs_per_subject"),
  maxMessageBytes: limit("max_msg_size"),
  maxConsumers: limit("max_consumers"),
  replicas: plain("num_replicas", 1),
  duplicateWindowMs: { native: "duplicate_window", write: writeMs, read: readMs },
  discard: plain("discard", "old"),
  allowDirect: flag("allow_direct"),
  allowRollup: flag("allow_rollup_hdrs"),
  allowMessageTtl: flag("allow_msg_ttl"),
  denyDelete: flag("deny_delete"),
  denyPurge: flag("deny_purge"),
  compression: plain("compression", "none"),
  metadata: { native: "metadata", write: asIs, read: readMetadata },
};

/** Names of all our fields. */
export const OWN_FIELDS: readonly OwnKey[] = Object.keys(FIELDS) as OwnKey[];

/** Which field of ours stands for a native one. */
export function ownNameOf(native: string): string | undefined {
  return OWN_FIELDS.find((own) => FIELDS[own].native === native);
}

/** Writes the fields that are given in the server's terms. */
export function writeNative(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const own of OWN_FIELDS) {
    const value = given[own];
    if (value !== undefined) written[FIELDS[own].native] = FIELDS[own].write(value);
  }
  return written;
}

/** Reads all our fields from the server's configuration. */
export function readSettings(config: NativeStreamConfig): StreamSettings {
  const entries = OWN_FIELDS.map((own) => [own, FIELDS[own].read(config[FIELDS[own].native])]);
  return Object.freeze(Object.fromEntries(entries)) as StreamSettings;
}

/** Newer servers add notes of their own, which are nobody's configuration. */
function readMetadata(value: unknown): unknown {
  const entries = Object.entries((value ?? {}) as Record<string, string>);
  return Object.fromEntries(entries.filter(([key]) => !key.startsWith("_nats.")));
}
