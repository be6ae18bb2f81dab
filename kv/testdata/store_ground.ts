/** What tests of stores stand on: a server, and a store on it. */
import type { Client } from "../../client/client.ts";
import { json } from "../../client/json.ts";
import { QUICK, withClient, withServer } from "../../client/testdata/server_ground.ts";
import type { NatsServer } from "../../testing/nats_server.ts";
import { openStore } from "../open_store.ts";
import type { Store } from "../store.ts";
import type { StoreOptions } from "../store_options.ts";

/** Name of the bucket. */
export const BUCKET = "b";

/** A server with a store on it. */
export interface StoreGround {
  readonly server: NatsServer;
  readonly client: Client;
  /** Holds any JSON. */
  readonly store: Store<unknown>;
}

/** Runs a test with a server and a store of its own. */
export async function withStore(
  options: Partial<StoreOptions<unknown>>,
  use: (ground: StoreGround) => Promise<void>,
): Promise<void> {
  await withServer({}, async (server) => {
    await withClient({ servers: server.url, ...QUICK }, async (client) => {
      const store = await openAny(client, options);
      await use({ server, client, store });
    });
  });
}

/** Opens the bucket for any JSON. */
export function openAny(
  client: Client,
  options: Partial<StoreOptions<unknown>> = {},
): Promise<Store<unknown>> {
  return openStore(client, { bucket: BUCKET, codec: json<unknown>(), ...options });
}

/** Whether the server is so new; tests of what older ones lack are skipped there. */
export function isAtLeast({ version }: NatsServer, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** All that an iterable brings. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
