import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { QUICK, untilLost, withClient, withProxy } from "../client/testdata/server_ground.ts";
import { text } from "../client/text.ts";
import type { Change } from "../kv/entry.ts";
import type { Mirror } from "../kv/mirror.ts";
import { openStore } from "../kv/open_store.ts";
import type { Store } from "../kv/store.ts";
import { BUCKET, WatchGround, withWatchGround } from "../kv/testdata/watch_ground.ts";
import type { WatchHandle, WatchOptions } from "../kv/watch.ts";
import type { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

const KEYS = 12;
const PATIENCE_MS = 60_000;

/** Writes all the time, to keys in turn, and knows what the bucket holds afterwards. */
class Writer {
  readonly state = new Map<string, string>();
  last = 0;
  readonly #ground: WatchGround;
  readonly #purges: boolean;
  readonly #done: Promise<void>;
  #isOver = false;

  constructor(ground: WatchGround, { purges }: { readonly purges: boolean }) {
    this.#ground = ground;
    this.#purges = purges;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const key = `k.${n % KEYS}`;
      this.last = await this.#write(key, n);
    }
  }

  async #write(key: string, n: number): Promise<number> {
    const isRemoval = n % 7 === 6;
    if (!isRemoval) {
      this.state.set(key, `${n}`);
      return await this.#ground.put(key, `${n}`);
    }
    this.state.delete(key);
    return await this.#ground.mark(key, this.#purges && n % 2 === 0 ? "PURGE" : "DEL");
  }
}

/** What somebody who follows a bucket has learned. */
class View {
  readonly revisions: number[] = [];
  readonly state = new Map<string, string>();

  apply({ key, operation, revision, value }: Change<string>): void {
    this.revisions.push(revision);
    if (operation === "put") this.state.set(key, value);
    else this.state.delete(key);
  }

  get last(): number {
    return this.revisions.at(-1) ?? 0;
  }

  /** Checks that each revision came once and in order; where none may be missing, that too. */
  check(name: string, { isComplete }: { readonly isComplete: boolean }): void {
    for (const [index, revision] of this.revisions.entries()) {
      const before = this.revisions[index - 1] ?? 0;
      const isNext = isComplete ? revision === before + 1 : revision > before;
      assert.ok(isNext, `${name}: revision ${revision} came after ${before}`);
    }
  }
}

/** Everybody who follows the bucket in one test. */
class Followers {
  readonly views = new Map<string, View>();
  readonly mirror: Mirror<string>;
  readonly #watches: WatchHandle[] = [];

  constructor(store: Store<string>, mirror: Mirror<string>) {
    this.mirror = mirror;
    this.#iterate(store, "state", {});
    this.#iterate(store, "history", { from: "history" });
    this.#iterate(store, "new", { from: "new" });
    this.#iterate(store, "small", { maxPending: 2 });
    const view = this.#view("function");
    this.#watches.push(store.watch({}, (change) => view.apply(change)));
  }

  /** All of them have begun. */
  async ready(): Promise<void> {
    for (const watch of this.#watches) await watch.ready;
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) await watch.close();
    for (const watch of this.#watches) await watch.closed;
    await this.mirror.close();
  }

  async reach(revision: number): Promise<void> {
    await this.mirror.waitFor(revision, { timeoutMs: PATIENCE_MS });
    for (const [name, view] of this.views) {
      const what = `${name} reaches ${revision}`;
      await waitUntil(() => view.last >= revision, { what, timeoutMs: PATIENCE_MS });
    }
  }

  check(state: ReadonlyMap<string, string>, options: { readonly isComplete: boolean }): void {
    const sorted = (entries: Iterable<[string, string]>) => [...entries].sort();
    for (const [name, view] of this.views) {
      view.check(name, options);
      assert.deepEqual(sorted(view.state), sorted(state), name);
    }
    assert.deepEqual(sorted(this.mirror), sorted(state), "mirror");
  }

  #view(name: string): View {
    const view = new View();
    this.views.set(name, view);
    return view;
  }

  #iterate(store: Store<string>, name: string, options: WatchOptions): void {
    const view = this.#view(name);
    const watch = store.watch(options);
    this.#watches.push(watch);
    void (async () => {
      for await (const change of watch) view.apply(change);
    })().catch(() => {}); // `closed` tells it
  }
}

interface Scene {
  readonly ground: WatchGround;
  readonly client: Client;
  readonly proxy: FaultProxy;
}

/** What befalls the followers, in turn. */
const faults: readonly ((scene: Scene) => Promise<void>)[] = [
  async ({ client, proxy }) => {
    proxy.cut();
    await untilLost(client);
    proxy.heal();
  },
  async ({ ground, client }) => {
    await ground.server.kill();
    await untilLost(client);
    await ground.server.restart();
  },
  async ({ ground, proxy }) => {
    proxy.drop({ direction: "toClient" });
    await ground.put("lost", "on its way");
    proxy.heal();
  },
  async ({ ground }) => {
    await waitUntil(() => ground.deleteConsumers().then(() => true), { what: "they are deleted" });
  },
  async ({ ground }) => {
    if (process.platform === "win32") return;
    ground.server.pause();
    const startedAt = performance.now();
    await waitUntil(() => performance.now() - startedAt > 300, { what: "it stood still" });
    ground.server.continue();
  },
];

for (const history of [-1, 1]) {
  const kind = history === 1 ? "a bucket of last revisions" : "a bucket that keeps everything";
  test(`watches and mirrors of ${kind} go through cuts and restarts`, async () => {
    await withWatchGround({ max_msgs_per_subject: history }, async (ground) => {
      await withProxy({ target: { port: ground.server.port } }, async (proxy) => {
        await ground.withStore(async (store, client) => {
          await endure({ ground, client, proxy }, store, history === 1);
        }, proxy.url);
      });
      assert.deepEqual(await ground.consumers(), []);
    });
  });
}

async function endure(scene: Scene, store: Store<string>, isCompact: boolean): Promise<void> {
  const mirror = await store.mirror({ timeoutMs: PATIENCE_MS });
  const followers = new Followers(store, mirror);
  await followers.ready();
  const writer = new Writer(scene.ground, { purges: isCompact });
  try {
    const rounds = faultCount({ ci: 5, soak: 100 });
    for (let round = 0; round < rounds; round++) {
      await faults[round % faults.length]!(scene);
      // Each fault hits watches that work again, or some of them: both happen.
      if (round % 3 > 0) await followers.reach(writer.last);
    }
  } finally {
    await writer.stop();
  }
  try {
    const last = await scene.ground.mark("lost", "DEL");
    await followers.reach(last);
    followers.check(writer.state, { isComplete: !isCompact });
  } finally {
    await followers.close();
  }
}

test("watches of a replicated bucket go on when servers are killed", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls, ...QUICK }, async (observer) => {
      const ground = new WatchGround(
        { server: cluster.nodes[0]!, observer, manager: await observer.manager() },
        { num_replicas: 3, max_msgs_per_subject: -1 },
      );
      await ground.make();
      await withClient({ servers: cluster.urls, ...QUICK }, async (client) => {
        const codec = text();
        const store = await openStore(client, { bucket: BUCKET, codec, allowUnsafeCas: true });
        await outlive(cluster, ground, store);
      });
      // What was asked for while there was no leader may be made late: the server forgets it.
      await ground.untilNoConsumers(PATIENCE_MS);
    });
  } finally {
    await cluster.close();
  }
});

async function outlive(
  cluster: NatsCluster,
  ground: WatchGround,
  store: Store<string>,
): Promise<void> {
  const mirror = await store.mirror({ timeoutMs: PATIENCE_MS });
  const followers = new Followers(store, mirror);
  await followers.ready();
  try {
    let last = 0;
    const state = new Map<string, string>();
    const put = async (n: number) => {
      state.set(`k.${n % KEYS}`, `${n}`);
      last = await ground.put(`k.${n % KEYS}`, `${n}`);
    };
    for (let round = 0; round < faultCount({ ci: 1, soak: 30 }); round++) {
      for (let n = 0; n < 20; n++) await put(100 * round + n);
      const leader = await cluster.leaderOf(`KV_${BUCKET}`);
      await leader.kill();
      for (let n = 20; n < 40; n++) await put(100 * round + n);
      await cluster.restartNode(leader);
      await followers.reach(last);
    }
    followers.check(state, { isComplete: true });
  } finally {
    await followers.close();
  }
}
