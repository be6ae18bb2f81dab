/** What tests of watches stand on: a server, a bucket on it, and views of it. */
import {
  DiscardPolicy,
  type JetStreamManager,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { headers, nanos } from "@nats-io/nats-core";
import type { Client } from "../../client/client.ts";
import { encodeToken } from "../../client/names.ts";
import { QUICK, withClient, withServer } from "../../client/testdata/server_ground.ts";
import type { NatsServer } from "../../testing/nats_server.ts";
import type { NatsServerOptions } from "../../testing/server_options.ts";
import { text } from "../../client/text.ts";
import { waitUntil } from "../../testing/wait_until.ts";
import type { Change } from "../entry.ts";
import { openStore } from "../open_store.ts";
import type { Store } from "../store.ts";

/** The bucket, and where it is stored. */
export const BUCKET: string = "b";
export const STREAM: string = `KV_${BUCKET}`;
export const PREFIX: string = `$KV.${BUCKET}.`;

/** How the bucket is made; the rest is as other KV clients make it. */
export interface GroundOptions extends Partial<StreamConfig> {
  /** How the server is started. */
  readonly server?: NatsServerOptions;
}

/** A server with a bucket, and a client whose view of it no watch shares. */
export class WatchGround {
  readonly server: NatsServer;
  readonly observer: Client;
  readonly manager: JetStreamManager;
  readonly #config: Partial<StreamConfig>;

  constructor(
    parts: { server: NatsServer; observer: Client; manager: JetStreamManager },
    config: Partial<StreamConfig>,
  ) {
    this.server = parts.server;
    this.observer = parts.observer;
    this.manager = parts.manager;
    this.#config = config;
  }

  /** Makes the bucket, once more after it was deleted. */
  async make(): Promise<void> {
    await this.manager.streams.add({
      name: STREAM,
      subjects: [`${PREFIX}>`],
      max_msgs_per_subject: 1,
      discard: DiscardPolicy.New,
      allow_rollup_hdrs: true,
      deny_delete: true,
      allow_direct: true,
      storage: StorageType.File,
      duplicate_window: nanos(120_000),
      ...this.#config,
    });
  }

  /** Deletes it. */
  async remove(): Promise<void> {
    await this.manager.streams.delete(STREAM);
  }

  /** Writes text until it is stored; returns the revision. */
  async put(key: string, text: string): Promise<number> {
    return await this.#store(key, text, {});
  }

  /** Leaves a marker: `DEL` or `PURGE`. */
  async mark(key: string, operation: "DEL" | "PURGE"): Promise<number> {
    const rollup = operation === "PURGE" ? { "Nats-Rollup": "sub" } : {};
    return await this.#store(key, "", { "KV-Operation": operation, ...rollup });
  }

  async #store(
    key: string,
    text: string,
    fields: Readonly<Record<string, string>>,
  ): Promise<number> {
    const name = key.split(".").map((token) => encodeToken(token, { what: "a key" })).join(".");
    const subject = `${PREFIX}${name}`;
    const hdrs = headers();
    for (const [name, value] of Object.entries(fields)) hdrs.set(name, value);
    hdrs.set("Nats-Msg-Id", crypto.randomUUID());
    const ack = await waitUntil(
      () => this.observer.jetstream.publish(subject, text, { headers: hdrs, timeout: 2_000 }),
      { what: `${key} is stored`, timeoutMs: 30_000 },
    );
    return ack.seq;
  }

  /** Runs something with a client of its own, by way of `url`. */
  async withClient(
    use: (client: Client) => Promise<void>,
    url: string = this.server.url,
  ): Promise<void> {
    await withClient({ servers: url, ...QUICK }, use);
  }

  /** Runs something with the bucket, as texts, through a client of its own. */
  async withStore(
    use: (store: Store<string>, client: Client) => Promise<void>,
    url: string = this.server.url,
  ): Promise<void> {
    await this.withClient(async (client) => {
      await use(await openStore(client, { bucket: BUCKET, codec: text() }), client);
    }, url);
  }

  /** The names of the consumers of the bucket. */
  async consumers(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.manager.consumers.list(STREAM)) names.push(name);
    return names;
  }

  /** Waits until nothing is left of any watch. */
  async untilNoConsumers(timeoutMs = 10_000): Promise<void> {
    await waitUntil(async () => (await this.consumers()).length === 0, {
      what: "no consumer is left",
      timeoutMs,
    });
  }

  /** Deletes all consumers behind their watches' backs. */
  async deleteConsumers(): Promise<void> {
    for (const name of await this.consumers()) await this.manager.consumers.delete(STREAM, name);
  }
}

/** Runs a test with a server and a bucket of its own. */
export async function withWatchGround(
  { server: serverOptions = {}, ...config }: GroundOptions,
  use: (ground: WatchGround) => Promise<void>,
): Promise<void> {
  await withServer(serverOptions, async (server) => {
    await withClient({ ...server.connectOptions, ...QUICK }, async (observer) => {
      const ground = new WatchGround(
        { server, observer, manager: await observer.manager() },
        config,
      );
      await ground.make();
      await use(ground);
    });
  });
}

/** A change in short: `a=1`, `a delete`, with a `*` when it is initial. */
export function brief(change: Change<unknown>): string {
  const { initial, key, operation, value } = change;
  return `${initial ? "*" : ""}${key}${operation === "put" ? `=${value}` : ` ${operation}`}`;
}
