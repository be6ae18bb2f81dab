import type { Client } from "../client/client.ts";
import { StoredObjects } from "./_stored_objects.ts";
import { type Versioned, versioned } from "./_versioned_codec.ts";
import { defineObject, type ObjectDefinition } from "./define_object.ts";
import type { ObjectStore, OpenObjectsOptions } from "./object_store.ts";
import { openStore } from "./open_store.ts";

/**
 * Opens the stored objects of a class, and creates their bucket when there is none.
 *
 * @throws {TypeError | RangeError} for a definition or options that make no sense, before any I/O.
 * @throws {JsflowError} as `openStore`.
 * @throws the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { connect, json } from "@x/jsflow/client";
 * import { defineObject, openObjects } from "@x/jsflow/kv";
 *
 * const Visits = defineObject<{ count: number }, { by: number }>({
 *   scope: "visits",
 *   version: 1,
 *   codec: json<{ count: number }>(),
 *   key: (page) => page,
 *   initial: () => ({ count: 0 }),
 *   apply: ({ count }, { by }) => ({ count: count + by }),
 * });
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     const visits = await openObjects(client, Visits, { bucket: "site" });
 *     const { state } = await visits.update("home", { by: 1 });
 *     console.log(state.count, (await visits.read("imprint")).state.count);
 *     for await (const { key, state } of visits.watch()) console.log(key, state?.count);
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export async function openObjects<T, Change, Id = string>(
  client: Client,
  definition: ObjectDefinition<T, Change, Id>,
  options: OpenObjectsOptions,
): Promise<ObjectStore<T, Change, Id>> {
  const checked = defineObject(definition);
  if (options !== undefined && "codec" in options) {
    throw new TypeError("openObjects does not know the option codec; the definition has one");
  }
  const codec = versioned(checked);
  const store = await openStore<Versioned<T>>(client, { ...options, codec });
  return new StoredObjects(store, checked);
}
