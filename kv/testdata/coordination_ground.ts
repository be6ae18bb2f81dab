/** What tests of locks, elections and semaphores stand on: a server and coordinations on it. */
import type { Client } from "../../client/client.ts";
import { type Clock, systemClock } from "../../client/clock.ts";
import { connect } from "../../client/connect.ts";
import { isJsflowError } from "../../client/errors.ts";
import { startTestNats, type TestNats } from "../../testing/test_nats.ts";
import { waitUntil } from "../../testing/wait_until.ts";
import type { Coordination } from "../coordination.ts";
import type { Store } from "../store.ts";

/** A clock that a test can advance without anything being woken, as when a process was frozen. */
export interface SkippingClock extends Clock {
  skip(ms: number): void;
}

/** The system's clock, until it is told to skip. */
export function skippingClock(): SkippingClock {
  let skipped = 0;
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + skipped,
    skip: (ms) => {
      skipped += ms;
    },
  };
}

/** What is below a coordination. */
export interface SpaceBelow {
  readonly store: Store<unknown>;
  readonly clock: Clock;
}

/** What a test replaces of it. */
export interface ReplacedParts {
  readonly clock?: Clock | undefined;
}

/** What a lock's key holds. */
export interface StoredLock {
  readonly owner: string | null;
  readonly epoch: number;
  readonly beat: number;
}

/** How a test opens a coordination, and looks below it. */
export interface Openers<S extends SpaceBelow> {
  readonly openSpace: (
    client: Client,
    options: undefined,
    parts: ReplacedParts,
  ) => Promise<Coordination>;
  readonly spaceOf: (coordination: Coordination) => S;
}

/** A server, a coordination, and what is below it. */
export class CoordinationGround<S extends SpaceBelow = SpaceBelow> {
  readonly nats: TestNats;
  readonly client: Client;
  readonly coordination: Coordination;
  readonly space: S;
  readonly #openers: Openers<S>;
  /** Those of `another`. */
  readonly clients: Client[] = [];

  constructor(nats: TestNats, coordination: Coordination, openers: Openers<S>) {
    this.nats = nats;
    this.client = nats.client;
    this.coordination = coordination;
    this.space = openers.spaceOf(coordination);
    this.#openers = openers;
  }

  /** A coordination on a client of its own, as another process has it. */
  async another(url: string = this.nats.url): Promise<Coordination> {
    const client = await connect({ servers: url, reconnect: { initialMs: 20, maxMs: 50 } });
    this.clients.push(client);
    return await this.#openers.openSpace(client, undefined, {});
  }

  /** What is below another coordination. */
  spaceOf(coordination: Coordination): S {
    return this.#openers.spaceOf(coordination);
  }

  /** What a lock's key holds. */
  async lockState(name: string): Promise<StoredLock> {
    return await this.space.store.getOrThrow(`lock.${name}`) as StoredLock;
  }

  /** Stores a state, as a process does that is dead by now. */
  async plant(key: string, state: unknown): Promise<void> {
    await this.space.store.put(key, state);
  }

  /** Waits until the bucket has this many watches. */
  async untilWatches(count: number): Promise<void> {
    const what = `${count} watches`;
    await waitUntil(async () => await this.watches() === count, { what });
  }

  /** How many watches the bucket has. */
  async watches(): Promise<number> {
    const info = await this.nats.stream(`KV_${this.coordination.bucket}`);
    return info.state.consumer_count;
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close({ graceMs: 0 })));
    await this.coordination.close();
  }
}

/** Runs a test with a coordination on a server of its own. */
export type WithCoordination<S extends SpaceBelow> = (
  use: (ground: CoordinationGround<S>) => Promise<void>,
  parts?: ReplacedParts,
) => Promise<void>;

/** Makes the function that runs a test with a coordination. */
export function coordinationGround<S extends SpaceBelow>(openers: Openers<S>): WithCoordination<S> {
  return async (use, parts = {}) => {
    const nats = await startTestNats();
    try {
      const coordination = await openers.openSpace(nats.client, undefined, parts);
      const ground = new CoordinationGround(nats, coordination, openers);
      try {
        await use(ground);
      } finally {
        await ground.close();
      }
    } finally {
      await nats.close();
    }
  };
}

/** Replaces methods of a space's store. */
export function patchStore(
  space: SpaceBelow,
  make: (store: Store<unknown>) => Partial<Store<unknown>>,
): void {
  const { store } = space;
  const replaced = make(store);
  const patched = new Proxy(store, {
    get: (_, name: keyof Store<unknown>) => {
      const value: unknown = replaced[name] ?? store[name];
      return typeof value === "function" ? value.bind(store) : value;
    },
  });
  Object.assign(space, { store: patched });
}

/** For `assert.rejects`. */
export function hasCode(code: Parameters<typeof isJsflowError>[1]): (error: unknown) => boolean {
  return (error) => isJsflowError(error, code);
}
