import type { Term } from "./election.ts";
import type { Lease } from "./lease.ts";

/** A term, which ends with its lease or before. */
export class OpenTerm implements Term {
  readonly token: number;
  readonly lease: Lease;
  readonly #over = new AbortController();

  constructor(lease: Lease) {
    this.lease = lease;
    this.token = lease.token;
    const { signal } = lease;
    if (signal.aborted) this.end(signal.reason);
    else signal.addEventListener("abort", () => this.end(signal.reason), { once: true });
  }

  get signal(): AbortSignal {
    void this.lease.signal; // looks at the clock
    return this.#over.signal;
  }

  get isHeld(): boolean {
    return this.lease.isHeld && !this.#over.signal.aborted;
  }

  /** Ends it; only the first reason counts. */
  end(reason: unknown): void {
    this.#over.abort(reason);
  }
}
