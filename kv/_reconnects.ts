import { jsflowLogger } from "../trace/log.ts";
import type { ClientCore } from "../client/core.ts";

const hubs = new WeakMap<ClientCore, ReconnectHub>();

/**
 * Calls a function each time that the connection of a client is back; returns the function that ends
 * that. However many ask, the connection is followed once, and only as long as somebody asks.
 */
export function onReconnect(core: ClientCore, callback: () => void): () => void {
  let hub = hubs.get(core);
  if (hub === undefined) {
    hub = new ReconnectHub(core);
    hubs.set(core, hub);
  }
  return hub.add(callback);
}

class ReconnectHub {
  readonly #core: ClientCore;
  readonly #callbacks = new Set<() => void>();
  #events: AsyncIterable<{ readonly type: string }> | undefined;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  add(callback: () => void): () => void {
    const own = () => callback(); // the same function may come twice
    this.#callbacks.add(own);
    if (this.#events === undefined) {
      const events = this.#events = this.#core.connection.status();
      this.#follow(events).catch((error) => {
        jsflowLogger("kv").error("the connection can't be followed: {error}", { error });
      });
    }
    return () => this.#remove(own);
  }

  #remove(callback: () => void): void {
    this.#callbacks.delete(callback);
    if (this.#callbacks.size > 0) return;
    // A loop that is blocked on the iterator ends only when the iterator itself is stopped.
    (this.#events as Partial<{ stop(): void }> | undefined)?.stop?.();
    this.#events = undefined;
  }

  async #follow(events: AsyncIterable<{ readonly type: string }>): Promise<void> {
    for await (const { type } of events) {
      if (type !== "reconnect" || events !== this.#events) continue;
      for (const callback of [...this.#callbacks]) callback();
    }
  }
}
