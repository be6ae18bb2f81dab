import { systemClock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import type { CheckedSettings } from "./_check_store.ts";
import { composeParts } from "./_compose_parts.ts";
import { factsOf, refuseUnsafeCas, subjectPrefixOf } from "./_ensure_bucket.ts";
import type { KeyNames } from "./_key_names.ts";
import { BucketStore } from "./_store.ts";
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
  return new BucketStore({ bucket, settings, parts: composeParts(bucket, settings), ...parts });
}
