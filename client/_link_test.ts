import { test } from "node:test";
import { connect as connectNative } from "@nats-io/transport-node";
import { waitUntil } from "../testing/wait_until.ts";
import { Link } from "./_link.ts";
import { withServer } from "./testdata/server_ground.ts";

test("a handler that throws does not make the link deaf", async () => {
  await withServer({}, async (server) => {
    const connection = await connectNative({ servers: server.url, reconnectTimeWait: 20 });
    const told: string[] = [];
    const tell = (what: string): void => {
      told.push(what);
      throw new Error(`the handler for ${what} is broken`);
    };
    const link = new Link(connection, {
      lost: () => tell("lost"),
      attemptFailed: () => tell("attempt"),
      back: () => Promise.reject(tell("back")),
      failed: () => tell("failed"),
      warned: () => tell("warned"),
      closed: () => tell("closed"),
    });
    try {
      await server.kill();
      await waitUntil(() => told.includes("lost"), { what: "the loss is told" });
      await server.restart();
      await waitUntil(() => told.includes("back"), { what: "the return is told" });
    } finally {
      await connection.close();
    }
    await waitUntil(() => told.includes("closed"), { what: "the end is told" });
    await link.detach();
  });
});
