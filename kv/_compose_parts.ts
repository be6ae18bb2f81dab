import type { Bucket } from "./_bucket.ts";
import type { CheckedSettings } from "./_check_store.ts";
import { listKeys } from "./_list_keys.ts";
import { openMirror } from "./_mirror.ts";
import type { StoreParts } from "./_store_parts.ts";
import { createTimeTravel } from "./_time_travel.ts";
import { openWatch, openWatchHandle } from "./_watch.ts";

/** Puts the parts of a store together. */
export function composeParts<T>(bucket: Bucket, settings: CheckedSettings<T>): StoreParts<T> {
  const { codec, historyCacheKeys, historyCacheMs } = settings;
  return {
    travel: createTimeTravel(bucket, codec, { historyCacheKeys, historyCacheMs }),
    watch: (options) => openWatch(bucket, codec, options),
    watchHandle: (options, onChange) => openWatchHandle(bucket, codec, options, onChange),
    mirror: (options) => openMirror(bucket, codec, options),
    keys: (filter, bounds) => listKeys(bucket, filter, bounds),
  };
}
