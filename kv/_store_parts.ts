import type { Bounds } from "./_bucket.ts";
import type { NameFilter } from "./_key_names.ts";
import type { TimeTravel } from "./_time_travel.ts";
import type { Mirror, MirrorOptions } from "./mirror.ts";
import type { ChangeHandler, Watch, WatchHandle, WatchOptions } from "./watch.ts";

/** What a store is composed of, besides its bucket. */
export interface StoreParts<T> {
  readonly travel: TimeTravel<T>;
  watch(options: WatchOptions): Watch<T>;
  watchHandle(options: WatchOptions, onChange: ChangeHandler<T>): WatchHandle;
  mirror(options: MirrorOptions & { readonly timeoutMs: number }): Promise<Mirror<T>>;
  /** The keys that hold a value. */
  keys(filter: NameFilter, bounds: Bounds): AsyncIterable<string>;
}
