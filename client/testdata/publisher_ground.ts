/** What tests of publishing to streams stand on: a stream, and a client behind a proxy. */
import type { FaultProxy } from "../../testing/fault_proxy.ts";
import type { TestNats } from "../../testing/test_nats.ts";
import type { Client } from "../client.ts";
import { type ClientCore, coreOf } from "../core.ts";
import { ensureStream } from "../ensure_stream.ts";
import { json } from "../json.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "../publisher.ts";
import type { StreamConfig } from "../stream_config.ts";
import { type Subject, subject } from "../subject.ts";
import { withCore } from "./nats_ground.ts";
import { withProxiedClient } from "./server_ground.ts";

export const S: Subject<unknown> = subject("s.1", json<unknown>());
export const STREAM: StreamConfig = { name: "S", subjects: ["s.*"] };

export interface Ground {
  readonly core: ClientCore;
  readonly client: Client;
  readonly nats: TestNats;
  readonly proxy: FaultProxy;
  publisher(options?: PublisherOptions): Publisher;
}

/** A client whose connection goes through a proxy, and a stream; publishers end with it. */
export async function withGround(
  use: (ground: Ground) => Promise<void>,
  stream: StreamConfig = STREAM,
): Promise<void> {
  const options = { reconnect: { initialMs: 50, maxMs: 100 }, drainTimeoutMs: 1_000 };
  await withCore(async (admin, nats) => {
    await ensureStream(admin, stream);
    await withProxiedClient(nats.server, options, async (client, proxy) => {
      const core = coreOf(client);
      const publisher = (options?: PublisherOptions) => createPublisher(core, options);
      try {
        await use({ core, client, nats, proxy, publisher });
      } finally {
        proxy.heal();
      }
    });
  });
}

/** How many messages the stream holds. */
export async function stored(nats: TestNats): Promise<number> {
  return (await nats.stream("S")).state.messages;
}

/** The numbers that the stream holds, in its order. */
export async function numbers({ client }: { client: Client }, count: number): Promise<number[]> {
  const { streams } = await client.manager();
  const all: number[] = [];
  for (let seq = 1; seq <= count; seq++) {
    const message = await streams.getMessage("S", { seq });
    if (message) all.push(message.json<number>());
  }
  return all;
}
