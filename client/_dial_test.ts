import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { test } from "node:test";
import { connect } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";

const PEERS = 6;

/** In which order addresses are dialled that all hang up; each is named by its place in the list. */
async function orderOfDials(nats?: ConnectOptions["nats"]): Promise<readonly number[]> {
  const order: number[] = [];
  const peers = Array.from({ length: PEERS }, (_, place) =>
    createServer((socket) => {
      socket.on("error", () => {});
      socket.end();
      order.push(place);
    }));
  try {
    const servers = [];
    for (const peer of peers) servers.push(await listen(peer));
    await assert.rejects(connect({ servers, nats }), { code: "connection_refused" });
    return order;
  } finally {
    await Promise.all(peers.map((peer) => new Promise((resolve) => peer.close(resolve))));
  }
}

async function listen(peer: Server): Promise<string> {
  peer.listen(0, "127.0.0.1");
  await once(peer, "listening");
  return `127.0.0.1:${(peer.address() as AddressInfo).port}`;
}

test("addresses are tried in random order", async () => {
  const orders = new Set<string>();
  for (let round = 0; round < 4; round++) {
    const order = await orderOfDials(round % 2 === 0 ? undefined : { noRandomize: false });
    assert.deepEqual(order.toSorted(), [0, 1, 2, 3, 4, 5], "each is tried once");
    orders.add(order.join());
  }
  assert.ok(orders.size > 1, `always in the same order: ${[...orders]}`);
});

test("with noRandomize addresses are tried as they are listed", async () => {
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await orderOfDials({ noRandomize: true }), [0, 1, 2, 3, 4, 5]);
  }
});
