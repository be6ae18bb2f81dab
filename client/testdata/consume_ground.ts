/** What tests of consuming stand on: a stream of numbers, and what a consumption goes through. */
import assert from "node:assert/strict";
import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import { waitUntil } from "../../testing/wait_until.ts";
import type { ConsumerEvent } from "../client_event.ts";
import { consume } from "../consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "../consume_options.ts";
import type { Consumption } from "../consumption.ts";
import type { ClientCore } from "../core.ts";
import { json } from "../json.ts";
import { type Subject, subject } from "../subject.ts";
import { type Connected, type ConnectedOptions, withConnected } from "./server_ground.ts";

export const Numbers: Subject<number, "part"> = subject("n.{part}", json<number>());
export const STREAM = "N";

export type NumberOptions = ConsumeOptions<number, "part">;
export type NumberHandler = ConsumeHandler<number, "part">;

/** How long anything may take on a machine that does much else. */
const PATIENCE_MS = 30_000;

/** A server with a stream, and a client that none of the consumptions needs. */
export interface StreamGround extends Connected {
  readonly manager: JetStreamManager;
  publish(...values: number[]): Promise<void>;
}

/** What differs from an ordinary server, client and stream. */
export interface StreamGroundOptions extends ConnectedOptions {
  readonly subjects?: readonly string[];
}

/** Runs a test with a stream of its own. */
export async function withStream(
  use: (ground: StreamGround) => Promise<void>,
  options: StreamGroundOptions = {},
): Promise<void> {
  const { subjects = ["n.*"] } = options;
  await withConnected(options, async (connected) => {
    const { client } = connected;
    const manager = await client.manager();
    await manager.streams.add({ name: STREAM, subjects: [...subjects] });
    const publish = async (...values: number[]) => {
      for (const value of values) await client.jetstream.publish("n.a", JSON.stringify(value));
    };
    await use({ ...connected, manager, publish });
  });
}

/** A consumption, and what it has gone through. */
export interface Run {
  readonly consumption: Consumption;
  /** What the handler was called with. */
  readonly seen: number[];
  readonly errors: unknown[];
  readonly events: ConsumerEvent[];
  /** What was told of the consumer, in one word each. */
  whats(): string[];
  /** Waits until that many were seen; more is a failure. */
  sees(count: number): Promise<void>;
  /** Waits until something was told that often. */
  meets(what: ConsumerEvent["what"], count?: number): Promise<ConsumerEvent>;
}

/** Begins to consume. */
export async function begin(
  core: ClientCore,
  options: NumberOptions,
  handler: NumberHandler = () => {},
): Promise<Run> {
  const seen: number[] = [];
  const errors: unknown[] = [];
  const events: ConsumerEvent[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const onRecovery = (event: ConsumerEvent) => void events.push(event);
  const given = { onError, onRecovery, ...options };
  const consumption = await consume(core, Numbers, given, (value, message) => {
    seen.push(value);
    return handler(value, message);
  });
  const whats = () => events.map(({ what }) => what);
  const wait = async <T>(condition: () => T, what: string) =>
    await waitUntil(condition, { what, timeoutMs: PATIENCE_MS }).catch((error) => {
      throw new Error(`${error.message}; seen: ${seen}; ${JSON.stringify(events)}; ${errors}`);
    });
  const sees = async (count: number) => {
    await wait(() => seen.length >= count, `${count} messages are seen`);
    assert.equal(seen.length, count, seen.join());
  };
  const meets = async (what: ConsumerEvent["what"], count = 1) =>
    await wait(() => events.filter((event) => event.what === what)[count - 1], `${what} is told`);
  return { consumption, seen, errors, events, whats, sees, meets };
}

/** Waits until everything is acknowledged. */
export async function settled(
  manager: JetStreamManager,
  name: string,
  stream: string = STREAM,
): Promise<ConsumerInfo> {
  return await waitUntil(async () => {
    const info = await manager.consumers.info(stream, name);
    return info.num_ack_pending === 0 && info.num_pending === 0 && info;
  }, { what: "everything is acknowledged", timeoutMs: PATIENCE_MS });
}

/** Deletes a consumer; servers of the 2.9 line may do so, and say that its folder was not empty. */
export async function remove(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.delete(STREAM, name).catch((error) => {
    if (!/not empty/.test(error.message)) throw error;
  });
}
