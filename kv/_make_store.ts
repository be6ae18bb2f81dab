import { systemClock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import type { CheckedSettings } from "./_check_store.ts";
import { composeParts } from "./_compose_parts.ts";
import { factsOf, refuseUnsafeCas, subjectPrefixOf } from "./_ensure_bucket.ts";
import type { KeyNames } from "./_key_names.ts";
import type { Bucket } from "./_bucket.ts";
import { BucketStore, type StoreMakings } from "./_store.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import type { Store } from "./store.ts";

/** A bucket that exists. */
export interface FoundBucket {
  readonly name: string;
  readonly info: StreamInfo;
  readonly keys: KeyNames;
}

/**
 * Makes the store of a bucket that exists.
 *
 * @throws {JsflowError} `unsafe_cas`
 */
export function makeStore<T>(
  core: ClientCore,
  { name, info, keys }: FoundBucket,
  settings: CheckedSettings<T>,
): Store<T> {
  const facts = factsOf(info);
  refuseUnsafeCas(core, { name, replicas: facts.replicas }, settings.allowUnsafeCas);
  const subjectPrefix = subjectPrefixOf(name);
  const parts = { clock: systemClock, random: Math.random };
  const bucket = new StreamBucket({
    core,
    name,
    stream: info.name,
    subjectPrefix,
    keys,
    facts,
    ...parts,
  });
  return register({ bucket, settings, parts: composeParts(bucket, settings), ...parts });
}

const makingsOf = new WeakMap<object, StoreMakings<never>>();

/** Makes a store of the same bucket that uses it in another way. */
export function remakeStore<T>(store: Store<T>, around: (bucket: Bucket) => Bucket): Store<T> {
  const makings = makingsOf.get(store) as StoreMakings<T> | undefined;
  if (makings === undefined) throw new TypeError("a store made by openStore is needed");
  const { settings } = makings;
  const bucket = around(makings.bucket);
  return register({ ...makings, bucket, parts: composeParts(bucket, settings) });
}

function register<T>(makings: StoreMakings<T>): Store<T> {
  const store = new BucketStore(makings);
  makingsOf.set(store, makings as StoreMakings<never>);
  return store;
}
