/** What tests of messages and streams stand on: a test server with a client, and its core. */
import { startTestNats, type TestNats } from "../../testing/test_nats.ts";
import type { TestNatsOptions } from "../../testing/test_nats_options.ts";
import type { Client } from "../client.ts";
import { connect } from "../connect.ts";
import { type ClientCore, coreOf } from "../core.ts";

/** A test that uses a core, and now and then what is below it. */
export type CoreTest = (core: ClientCore, nats: TestNats) => Promise<void>;

/** Runs a test on a server of its own; it has JetStream in memory unless `options` differ. */
export async function withCore(use: CoreTest, options?: TestNatsOptions): Promise<void> {
  const nats = await startTestNats(options);
  try {
    await use(coreOf(nats.client), nats);
  } finally {
    await nats.close();
  }
}

/** Runs a test on a server without JetStream. */
export async function withMessaging(use: CoreTest): Promise<void> {
  await withCore(use, { preset: "minimal" });
}

/** Runs a test with the cores of many clients of one server. */
export async function withCores(
  count: number,
  use: (cores: readonly ClientCore[]) => Promise<void>,
): Promise<void> {
  await withCore(async (_, nats) => {
    const clients: Client[] = [];
    try {
      for (let n = 0; n < count; n++) clients.push(await connect(nats.server.connectOptions));
      await use(clients.map(coreOf));
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });
}
