/** What tests of connections stand on: servers, and clients on them, which end with the test. */
import { FaultProxy, type FaultProxyOptions } from "../../testing/fault_proxy.ts";
import { NatsServer } from "../../testing/nats_server.ts";
import type { NatsServerOptions } from "../../testing/server_options.ts";
import { waitUntil } from "../../testing/wait_until.ts";
import type { Client, ClientCloseOptions } from "../client.ts";
import { connect } from "../connect.ts";
import type { ConnectOptions } from "../connect_options.ts";
import { type ClientCore, coreOf } from "../core.ts";
import type { NatsConnection } from "../native.ts";

/** Comes back soon after its connection was lost. */
export const QUICK: Pick<ConnectOptions, "reconnect"> = {
  reconnect: { initialMs: 20, maxMs: 50 },
};

/** Runs a test with a server of its own. */
export async function withServer(
  options: NatsServerOptions,
  use: (server: NatsServer) => Promise<void>,
): Promise<void> {
  const server = await NatsServer.start(options);
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

/** Runs a test, or a part of it, with a client of its own. */
export async function withClient(
  options: ConnectOptions,
  use: (client: Client) => Promise<void>,
  closing?: ClientCloseOptions,
): Promise<void> {
  const client = await connect(options);
  try {
    await use(client);
  } finally {
    await client.close(closing);
  }
}

/** A server with a client on it. */
export interface Connected {
  readonly server: NatsServer;
  readonly client: Client;
  readonly core: ClientCore;
}

/** How a server starts, and how the client on it connects and is closed. */
export interface ConnectedOptions {
  readonly server?: NatsServerOptions;
  readonly client?: ConnectOptions;
  readonly closing?: ClientCloseOptions;
}

/** Runs a test with a server of its own and a client on it. */
export async function withConnected(
  options: ConnectedOptions,
  use: (connected: Connected) => Promise<void>,
): Promise<void> {
  await withServer(options.server ?? {}, async (server) => {
    const on = { ...server.connectOptions, ...options.client };
    await withClient(
      on,
      (client) => use({ server, client, core: coreOf(client) }),
      options.closing,
    );
  });
}

/** Runs a part of a test with a proxy; without a target it accepts connections and says nothing. */
export async function withProxy(
  options: FaultProxyOptions,
  use: (proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  const proxy = await FaultProxy.start(options);
  try {
    await use(proxy);
  } finally {
    await proxy.close();
  }
}

/** Runs a test, or a part of it, with a client whose connection goes through a proxy. */
export async function withProxiedClient(
  server: { readonly port: number },
  options: ConnectOptions,
  use: (client: Client, proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  await withProxy({ target: { port: server.port } }, async (proxy) => {
    await withClient({ servers: proxy.url, ...options }, (client) => use(client, proxy));
  });
}

/** Waits until the client knows that its connection is gone. */
export async function untilLost(client: Client): Promise<void> {
  await waitUntil(() => client.status === "reconnecting", { what: "the loss is noticed" });
}

/** What a server tells of one connection. */
export interface ServerConnection {
  readonly name?: string;
  /** How many subscriptions it has. */
  readonly subscriptions: number;
  readonly authorized_user?: string;
  readonly nkey?: string;
}

/** The connections that a server knows. */
export async function connectionsOf(server: NatsServer): Promise<readonly ServerConnection[]> {
  const response = await fetch(`${server.monitorUrl}/connz?auth=1`);
  return (await response.json() as { connections: ServerConnection[] }).connections;
}

/** How many subscriptions a server knows of, those of its own aside. */
export async function subscriptionsOf(server: NatsServer): Promise<number> {
  const connections = await connectionsOf(server);
  return connections.reduce((sum, { subscriptions }) => sum + subscriptions, 0);
}

/** How many iterators of its status a native connection feeds. */
export function statusListenersOf(connection: NatsConnection): number {
  const { protocol } = connection as unknown as { protocol: { listeners: unknown[] } };
  return protocol.listeners.length;
}
