import { checkOptions, describe } from "../client/validate.ts";
import { refusePromise, type Versioned } from "./_versioned_codec.ts";
import type { ObjectDefinition } from "./define_object.ts";
import type { Change } from "./entry.ts";
import { EntryDecodeError } from "./entry_decode_error.ts";
import type {
  ObjectChange,
  ObjectSnapshot,
  ObjectStore,
  ObjectWatch,
  ObjectWatchOptions,
  UpdateObjectOptions,
} from "./object_store.ts";
import { ObjectVersionError } from "./object_version_error.ts";
import type { RemoveOptions, Store, StoreCallOptions } from "./store.ts";
import type { Watch } from "./watch.ts";

/** The one implementation of `ObjectStore`. */
export class StoredObjects<T, C, Id> implements ObjectStore<T, C, Id> {
  readonly bucket: string;
  readonly scope: string;
  readonly #store: Store<Versioned<T>>;
  readonly #definition: ObjectDefinition<T, C, Id>;

  constructor(store: Store<Versioned<T>>, definition: ObjectDefinition<T, C, Id>) {
    this.bucket = store.bucket;
    this.scope = definition.scope;
    this.#store = store;
    this.#definition = definition;
  }

  async update(id: Id, change: C, options?: UpdateObjectOptions): Promise<ObjectSnapshot<T>> {
    const { apply } = this.#definition;
    return await this.#write("update", { id, options }, (current) => {
      const state = current === undefined ? this.#initial(id) : current.state();
      return refusePromise("apply", apply(state, change));
    });
  }

  async reset(id: Id, options?: UpdateObjectOptions): Promise<ObjectSnapshot<T>> {
    const { version } = this.#definition;
    return await this.#write("reset", { id, options }, (current, key) => {
      const storedVersion = current?.version ?? 0;
      if (storedVersion <= version) return this.#initial(id);
      const { bucket } = this;
      const versions = { storedVersion, knownVersion: version };
      throw new ObjectVersionError({ bucket, key, ...versions, reason: "newer" });
    });
  }

  async read(id: Id, options?: StoreCallOptions): Promise<ObjectSnapshot<T>> {
    const entry = await this.#store.entry(this.#key(id), options);
    if (entry?.operation === "put") {
      const { revision, value: { state, version } } = entry;
      return { state: state(), revision, storedVersion: version };
    }
    return { state: this.#initial(id), revision: 0, storedVersion: undefined };
  }

  async delete(id: Id, options?: RemoveOptions): Promise<void> {
    await this.#store.delete(this.#key(id), options);
  }

  watch(options?: ObjectWatchOptions<Id>): ObjectWatch<T> {
    const { id, ...rest } = checkOptions("watch", options, [
      "id",
      "from",
      "removals",
      "maxPending",
      "signal",
    ]);
    const prefix = `${this.scope}.`;
    const selection = id === undefined ? { prefix } : { key: this.#key(id as Id) };
    return new WatchedObjects(this.#store.watch({ ...rest, ...selection }), this.bucket, prefix);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(
    what: string,
    { id, options }: { readonly id: Id; readonly options: UpdateObjectOptions | undefined },
    compute: (current: Versioned<T> | undefined, key: string) => T,
  ): Promise<ObjectSnapshot<T>> {
    checkOptions(what, options, ["signal", "timeoutMs", "retry"]);
    const key = this.#key(id);
    const { version } = this.#definition;
    let state: T | undefined;
    const { revision } = await this.#store.update(key, (current) => {
      const next = state = compute(current, key);
      return { version, state: () => next };
    }, options);
    return { state: state as T, revision, storedVersion: version };
  }

  #initial(id: Id): T {
    return refusePromise("initial", this.#definition.initial(id));
  }

  #key(id: Id): string {
    const key: unknown = this.#definition.key(id);
    if (typeof key === "string") return `${this.scope}.${key}`;
    throw new TypeError(`key must return a string, got ${describe(key)}`);
  }
}

/** Turns the changes of keys into changes of objects. */
class WatchedObjects<T> implements ObjectWatch<T> {
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  readonly #watch: Watch<Versioned<T>>;
  readonly #bucket: string;
  readonly #prefix: string;
  /** What could not be read, which ended it. */
  #failure: EntryDecodeError | undefined;

  constructor(watch: Watch<Versioned<T>>, bucket: string, prefix: string) {
    this.#watch = watch;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.ready = watch.ready;
    this.closed = watch.closed.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
    });
    this.closed.catch(() => {}); // nobody has to look at it
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<ObjectChange<T>, undefined> {
    const changes = this.#watch[Symbol.asyncIterator]();
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      await this.close();
      return { done: true, value: undefined };
    };
    return {
      next: async () => {
        const { done, value } = await changes.next();
        return done ? { done, value: undefined } : { done: false, value: await this.#turn(value) };
      },
      return: end,
      throw: async (error: unknown) => {
        await end();
        throw error;
      },
    };
  }

  async #turn(change: Change<Versioned<T>>): Promise<ObjectChange<T>> {
    const { operation, revision, time, initial } = change;
    const key = change.key.slice(this.#prefix.length);
    try {
      return { key, operation, state: change.value?.state(), revision, time, initial };
    } catch (error) {
      const place = { bucket: this.#bucket, key: change.key, revision };
      this.#failure = new EntryDecodeError(place, error);
      await this.close();
      throw this.#failure;
    }
  }
}
