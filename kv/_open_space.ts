import type { Client } from "../client/client.ts";
import { type Clock, systemClock } from "../client/clock.ts";
import { type Abandoned, ABORT_GRACE_MS, type ClientCore, coreOf } from "../client/core.ts";
import { untilAborted } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { retryDelayMs } from "../client/retry_policy.ts";
import { checkDurationMs, checkOptions } from "../client/validate.ts";
import type { Bucket } from "./_bucket.ts";
import { readingAtLeader } from "./_leader_reads.ts";
import { withLimits } from "./_limits.ts";
import { remakeStore } from "./_make_store.ts";
import { isPassing } from "./_passing_error.ts";
import {
  keyWithin,
  registerSpace,
  type Seen,
  type Space,
  type SpaceResource,
  type StateKind,
  type StateWaitOptions,
} from "./_space.ts";
import { StateWatch } from "./_state_watch.ts";
import {
  type Coordination,
  type CoordinationOptions,
  DEFAULT_COORDINATION_BUCKET,
} from "./coordination.ts";
import { openStore } from "./open_store.ts";
import type { Store } from "./store.ts";
import { DEFAULT_STORE_TIMEOUT_MS } from "./store_options.ts";

/** What tests replace. */
export interface SpaceParts {
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly newId?: (() => string) | undefined;
  /** What stands for the bucket below. */
  readonly around?: ((bucket: Bucket) => Bucket) | undefined;
}

/** Pauses between reads that failed. */
const PAUSES = { attempts: Infinity, initialMs: 20, maxMs: 500 } as const;

const OPTION_KEYS: readonly (keyof CoordinationOptions)[] = [
  "bucket",
  "replicas",
  "storage",
  "timeoutMs",
  "allowUnsafeCas",
  "onDrift",
  "signal",
];

/** Opens a space; what it returns is known to `spaceOf`. */
export async function openSpace(
  client: Client,
  options: CoordinationOptions | undefined,
  parts: SpaceParts = {},
): Promise<Coordination> {
  const core = coreOf(client);
  checkOptions("openCoordination", options, OPTION_KEYS);
  const { bucket = DEFAULT_COORDINATION_BUCKET, timeoutMs = DEFAULT_STORE_TIMEOUT_MS, ...rest } =
    options ?? {};
  checkDurationMs("openCoordination: timeoutMs", timeoutMs, { min: 1 });
  const codec = json<unknown>();
  // Where states expire, tokens would begin again.
  const kept = { history: 1, ttlMs: Infinity };
  const opened = await openStore(client, { ...rest, ...kept, bucket, timeoutMs, codec });
  const { around = (found) => found } = parts;
  const store = remakeStore(opened, (found) => readingAtLeader(around(found)));
  const space = new OpenSpace(core, { store, timeoutMs }, parts);
  try {
    space.forget = core.own(space);
  } catch (error) {
    await store.close();
    throw error;
  }
  const coordination: Coordination = {
    bucket,
    close: () => space.close(),
    [Symbol.asyncDispose]: () => space.close(),
  };
  registerSpace(coordination, space);
  return coordination;
}

class OpenSpace implements Space {
  readonly bucket: string;
  readonly core: ClientCore;
  readonly store: Store<unknown>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly timeoutMs: number;
  /** Ends taking part in the client's closing. */
  forget: () => void = () => {};
  readonly #closing = new AbortController();
  readonly #resources = new Set<SpaceResource>();
  readonly #background = new Set<Promise<unknown>>();
  #whenIdle: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    core: ClientCore,
    { store, timeoutMs }: { readonly store: Store<unknown>; readonly timeoutMs: number },
    parts: SpaceParts,
  ) {
    this.core = core;
    this.bucket = store.bucket;
    this.store = store;
    this.timeoutMs = timeoutMs;
    this.clock = parts.clock ?? systemClock;
    this.random = parts.random ?? Math.random;
    this.newId = parts.newId ?? (() => crypto.randomUUID());
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  keyOf(kind: StateKind, name: string): string {
    return keyWithin({ what: `the name of a ${kind}`, prefix: `${kind}.` }, name);
  }

  waitUntilState(
    key: string,
    predicate: (seen: Seen) => boolean,
    options: StateWaitOptions,
  ): Promise<Seen> {
    return withLimits(this, options, async (signal) => {
      const watch = new StateWatch(this, key);
      try {
        // What the watch shows may be older than the call: it comes from any replica.
        watch.offer(await this.#readPatiently(key, signal));
        let seen: Seen | undefined;
        do seen = await watch.next(seen, { signal }); while (
          seen === undefined || !predicate(seen)
        );
        return seen;
      } finally {
        await watch.close();
      }
    });
  }

  async read(key: string, signal?: AbortSignal): Promise<Seen> {
    const entry = await this.store.entry(key, { signal, timeoutMs: this.timeoutMs });
    return { value: entry?.value, revision: entry?.revision ?? 0 };
  }

  own(resource: SpaceResource): () => void {
    this.#closing.signal.throwIfAborted();
    this.#resources.add(resource);
    return () => {
      this.#resources.delete(resource);
      if (this.#resources.size === 0) this.#whenIdle?.();
    };
  }

  inBackground(work: Promise<unknown>): void {
    const ended = work.then(() => {}, () => {}).then(() => void this.#background.delete(ended));
    this.#background.add(ended);
  }

  /** Nothing to stop: handlers that finish their work while the client closes may need a lock. */
  stop(): void {}

  async drain(signal: AbortSignal): Promise<readonly Abandoned[]> {
    const isIdle = await untilAborted(this.#idle(), signal).then(() => true, () => false);
    if (isIdle) return [];
    const count = this.#resources.size;
    const grace = AbortSignal.timeout(ABORT_GRACE_MS);
    await untilAborted(this.close(), grace).catch(() => {});
    return [{ what: `coordination ${this.bucket}`, count }];
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const why = `the coordination in bucket ${this.bucket} was closed`;
    this.#closing.abort(
      new JsflowError("connection_closed", `cannot go on: ${why}; open it again`),
    );
    await Promise.all([...this.#resources].map((resource) => resource.close()));
    while (this.#background.size > 0) await Promise.all(this.#background);
    await this.store.close();
    this.forget();
  }

  /** Goes on trying while the server is away. */
  async #readPatiently(key: string, signal: AbortSignal): Promise<Seen> {
    for (let failures = 1;; failures++) {
      try {
        return await this.read(key, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        await this.clock.sleep(retryDelayMs(PAUSES, failures, this.random) ?? 0, signal);
      }
    }
  }

  /** Ends what serves nobody, and waits until what somebody holds is given back. */
  async #idle(): Promise<void> {
    const services = [...this.#resources].filter(({ yields }) => yields !== true);
    await Promise.all(services.map((service) => service.close()));
    if (this.#resources.size === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle = resolve);
  }
}
