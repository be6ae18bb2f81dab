/** Telling when a server is ready, by talking to it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AuthorizationError, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import type { ServerCredentials } from "./server_auth.ts";
import { waitUntil } from "./wait_until.ts";

/** Where a server listens. */
export interface ServerPorts {
  readonly client: number;
  readonly monitor: number;
  readonly cluster: number | undefined;
}

/** What has to be true before a server counts as ready. */
export interface Readiness {
  readonly credentials: ServerCredentials;
  /** JetStream must answer as well. */
  readonly jetstream: boolean;
  /** Configured users other than `credentials`: being turned away shows that it is up. */
  readonly ownUsers: boolean;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

const UNLIKELY_LATE_MS = 60_000;

/** Reads the ports that a server chose, as soon as it has written them all down. */
export async function readPorts(
  folder: string,
  readiness: Readiness,
): Promise<ServerPorts> {
  return await waitUntil(async () => {
    const file = (await readdir(folder)).find((name) => name.endsWith(".ports"));
    if (file === undefined) return undefined;
    return parsePorts(await readFile(join(folder, file), "utf8"));
  }, { what: "nats-server has opened its ports", intervalMs: 5, ...limits(readiness) });
}

/** Waits until the server answers PING and, if wanted, JetStream; returns its version if told. */
export async function awaitAnswer(
  ports: ServerPorts,
  readiness: Readiness,
): Promise<string | undefined> {
  const nc = await waitUntil(() => tryConnect(ports.client, readiness), {
    what: "nats-server accepts a connection",
    ...limits(readiness),
  });
  if (nc === "turned away") {
    if (readiness.jetstream) await awaitHealth(ports.monitor, readiness);
    return undefined;
  }
  try {
    if (readiness.jetstream && readiness.ownUsers) await awaitHealth(ports.monitor, readiness);
    else if (readiness.jetstream) await awaitJetStream(nc, readiness);
    return nc.info?.version;
  } finally {
    await nc.close();
  }
}

function limits(readiness: Readiness): { timeoutMs: number; signal: AbortSignal } {
  const left = readiness.deadlineMs - performance.now();
  return { timeoutMs: Math.max(1, left), signal: readiness.signal };
}

function parsePorts(text: string): ServerPorts | undefined {
  let ports: Record<string, string[] | undefined>;
  try {
    ports = JSON.parse(text);
  } catch {
    return undefined; // not yet written to the end
  }
  const client = portOf(ports["nats"]?.[0] ?? ports["tls"]?.[0]);
  const monitor = portOf(ports["monitoring"]?.[0]);
  if (client === undefined || monitor === undefined) return undefined;
  return { client, monitor, cluster: portOf(ports["cluster"]?.[0]) };
}

function portOf(url: string | undefined): number | undefined {
  return url === undefined ? undefined : Number(url.slice(url.lastIndexOf(":") + 1));
}

async function tryConnect(
  port: number,
  readiness: Readiness,
): Promise<NatsConnection | "turned away"> {
  try {
    const nc = await connect({
      ...readiness.credentials,
      servers: `127.0.0.1:${port}`,
      name: "jsflow readiness check",
      reconnect: false,
      timeout: Math.min(UNLIKELY_LATE_MS, Math.max(1, readiness.deadlineMs - performance.now())),
    });
    await nc.flush();
    return nc;
  } catch (error) {
    if (readiness.ownUsers && error instanceof AuthorizationError) return "turned away";
    throw error;
  }
}

async function awaitJetStream(nc: NatsConnection, readiness: Readiness): Promise<void> {
  await waitUntil(async () => {
    const reply = await nc.request("$JS.API.INFO", undefined, { timeout: 1_000 });
    const { error } = reply.json<{ error?: { description?: string } }>();
    if (error !== undefined) throw new Error(error.description);
    return true;
  }, { what: "JetStream answers", ...limits(readiness) });
}

async function awaitHealth(port: number, readiness: Readiness): Promise<void> {
  await waitUntil(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`);
    const { status } = await response.json() as { status?: string };
    return status === "ok";
  }, { what: "nats-server reports to be healthy", ...limits(readiness) });
}
