/** What the tests of publishers stand on: a stream, and a client behind a proxy. */
import assert from "node:assert/strict";
import { FaultProxy } from "../../testing/fault_proxy.ts";
import { startTestNats, type TestNats } from "../../testing/test_nats.ts";
import type { Client } from "../client.ts";
import { connect } from "../connect.ts";
import { type ClientCore, coreOf } from "../core.ts";
import { ensureStream } from "../ensure_stream.ts";
import { json } from "../json.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "../publisher.ts";
import type { StreamConfig } from "../stream_config.ts";
import { type Subject, subject } from "../subject.ts";

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
export async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  const nats = await startTestNats();
  const proxy = await FaultProxy.start({ target: { port: nats.server.port } });
  const client = await connect({
    servers: proxy.url,
    reconnect: { initialMs: 50, maxMs: 100 },
    drainTimeoutMs: 1_000,
  });
  try {
    await ensureStream(coreOf(nats.client), STREAM);
    const core = coreOf(client);
    const publisher = (options?: PublisherOptions) => createPublisher(core, options);
    await use({ core, client, nats, proxy, publisher });
  } finally {
    proxy.heal();
    await client.close();
    await proxy.close();
    await nats.close();
  }
}

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

/** Checks the code of an error, and what its message holds. */
export function code(
  wanted: string,
  ...parts: string[]
): (error: Error & { code?: string }) => boolean {
  return (error) => {
    assert.equal(error.code, wanted, error.message);
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  };
}
