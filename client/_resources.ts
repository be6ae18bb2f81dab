import { type Abandoned, ABORT_GRACE_MS, type Resource } from "./core.ts";

/**
 * How long a resource that was told to abort may still take: longer than its own waits for handlers
 * and for the server's last words, or its report would be lost.
 */
const ABORT_MARGIN_MS = ABORT_GRACE_MS + 4_000;

/** All that lives on a client's connection and ends before it does. */
export class Resources {
  readonly #all = new Set<Resource>();

  /** How many there are. */
  get size(): number {
    return this.#all.size;
  }

  /** Adds one; returns the function that removes it. */
  add(resource: Resource): () => void {
    this.#all.add(resource);
    return () => this.#all.delete(resource);
  }

  /** Has all of them take nothing new. */
  stop(): void {
    for (const resource of this.#all) resource.stop();
  }

  /** Ends all of them at the same time; what does not end soon after the abort is given up. */
  async drain(signal: AbortSignal): Promise<Abandoned[]> {
    const draining = [...this.#all].map((resource) => drainOne(resource, signal));
    const reports = await Promise.all(draining);
    this.#all.clear();
    return reports.flat();
  }
}

async function drainOne(resource: Resource, signal: AbortSignal): Promise<readonly Abandoned[]> {
  const { promise: overdue, resolve } = Promise.withResolvers<readonly Abandoned[]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = () => resolve([{ what: "work that did not end when it was aborted", count: 1 }]);
  const abort = () => timer = setTimeout(giveUp, ABORT_MARGIN_MS);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([resource.drain(signal), overdue]);
  } catch {
    return [{ what: "work that failed while it was drained", count: 1 }];
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}
