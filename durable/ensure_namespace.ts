import {
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { nanos } from "@nats-io/nats-core";
import type { Client } from "../client/client.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { translateError } from "../client/translate_error.ts";
import { checkBoolean, checkInteger } from "../client/validate.ts";
import type { Namespace } from "./namespace.ts";

/** How the streams of a namespace are stored. Every worker and client must say the same. */
export interface StorageOptions {
  /**
   * Copies of each stream in a cluster, 1 to 5; an even number is no safer than the odd one below. More than one needs nats-server 2.11 or newer,
   * since older ones let two writers win one compare-and-set.
   * @default 1
   */
  readonly replicas?: number | undefined;
  /**
   * Run replicated on a server older than 2.11 all the same. Steps may then be committed twice.
   * @default false
   */
  readonly allowUnsafeCas?: boolean | undefined;
}

/** Storage options, checked and complete. */
export type StorageSettings = {
  readonly [K in keyof StorageOptions]-?: NonNullable<StorageOptions[K]>;
};

/**
 * Checks the storage options, before any I/O.
 *
 * @throws {TypeError | RangeError} when one is invalid.
 */
export function checkStorage(
  { replicas = 1, allowUnsafeCas = false }: StorageOptions,
): StorageSettings {
  return {
    replicas: checkInteger("replicas", replicas, { min: 1, max: 5 }),
    allowUnsafeCas: checkBoolean("allowUnsafeCas", allowUnsafeCas),
  };
}

/** A namespace that is ready for use. */
export interface OpenNamespace {
  readonly names: Namespace;
  readonly manager: JetStreamManager;
  /** The bucket of the summaries. */
  readonly states: KV;
}

/** Milliseconds in which a stream drops a message that it has already stored. */
const DEDUPLICATION_MS = 120_000;

/**
 * Creates the streams and the bucket of a namespace where they are missing, and checks those that
 * exist. Idempotent, and safe to run from many processes at once.
 *
 * @throws {JsflowError} `unsafe_cas` when the journal is or would be replicated on a server older
 * than 2.11; `config_drift` when a stream exists with another configuration; `jetstream_disabled`.
 */
export async function ensureNamespace(
  client: Client,
  names: Namespace,
  storage: StorageSettings,
): Promise<OpenNamespace> {
  const { replicas } = storage;
  if (replicas > 1) refuseUnsafeCas(client, replicas, storage);
  const manager = await client.manager();
  const retention = RetentionPolicy.Limits;
  const journal = await ensureStream(
    manager,
    streamConfig({ name: names.journal, subject: names.journalFilter, retention, replicas }),
  );
  if (journal.config.num_replicas > 1) {
    refuseUnsafeCas(client, journal.config.num_replicas, storage);
  }
  await ensureStream(
    manager,
    streamConfig({
      name: names.commands,
      subject: names.commandFilter,
      retention: RetentionPolicy.Workqueue,
      replicas,
    }),
  );
  return { names, manager, states: await ensureStates(client, manager, names, replicas) };
}

function refuseUnsafeCas(client: Client, replicas: number, storage: StorageSettings): void {
  if (client.server.supports("replicated_cas") || storage.allowUnsafeCas) return;
  throw new JsflowError(
    "unsafe_cas",
    `cannot run on ${replicas} replicas: nats-server ${client.server.version} lets two writers win ` +
      `the same compare-and-set on a replicated stream, so a step could be committed twice; ` +
      `upgrade to 2.11 or newer, or use replicas: 1`,
  );
}

type WantedStream = Partial<StreamConfig> & { name: string; subjects: string[] };

function streamConfig(
  { name, subject, retention, replicas }: {
    readonly name: string;
    readonly subject: string;
    readonly retention: RetentionPolicy;
    readonly replicas: number;
  },
): WantedStream {
  return {
    name,
    subjects: [subject],
    retention,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    duplicate_window: nanos(DEDUPLICATION_MS),
    num_replicas: replicas,
  };
}

async function ensureStream(jsm: JetStreamManager, wanted: WantedStream): Promise<StreamInfo> {
  const action = `open stream ${wanted.name}`;
  try {
    return checkDrift(wanted, await jsm.streams.info(wanted.name));
  } catch (error) {
    const translated = translateError(error, action);
    if (!isJsflowError(translated, "stream_not_found")) throw translated;
  }
  try {
    return checkDrift(wanted, await jsm.streams.add(wanted));
  } catch (error) {
    // Somebody else may have created it in between, with the very same or another configuration.
    const existing = await jsm.streams.info(wanted.name).catch(() => undefined);
    if (existing) return checkDrift(wanted, existing);
    throw translateError(error, `create stream ${wanted.name}`);
  }
}

function checkDrift(wanted: Partial<StreamConfig>, found: StreamInfo): StreamInfo {
  const differences = Object.entries(wanted)
    .map(([key, value]) => [key, value, found.config[key as keyof StreamConfig]] as const)
    .filter(([, value, actual]) => JSON.stringify(value) !== JSON.stringify(actual))
    .map(([key, value, actual]) =>
      `${key} is ${JSON.stringify(actual)}, expected ${JSON.stringify(value)}`
    );
  if (differences.length === 0) return found;
  throw new JsflowError(
    "config_drift",
    `cannot use stream ${wanted.name}: ${
      differences.join("; ")
    }; give every worker and client the ` +
      `same options, or another namespace`,
  );
}

async function ensureStates(
  client: Client,
  manager: JetStreamManager,
  names: Namespace,
  replicas: number,
): Promise<KV> {
  const stream = `KV_${names.stateBucket}`;
  try {
    const states = await new Kvm(client.jetstream).create(names.stateBucket, { replicas });
    checkDrift({ name: stream, num_replicas: replicas }, await manager.streams.info(stream));
    return states;
  } catch (error) {
    throw translateError(error, `open bucket ${names.stateBucket}`);
  }
}
