import type { WaitBounds } from "../client/call_options.ts";
import { untilAborted } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { retryDelayMs } from "../client/retry_policy.ts";
import { checkFunction } from "../client/validate.ts";
import { jsflowLogger } from "../trace/log.ts";
import { acquire } from "./_contend.ts";
import type { ElectionSettings } from "./_election_settings.ts";
import { withLimits } from "./_limits.ts";
import { createLockContender } from "./_lock_contender.ts";
import { checkLimits, type Space, type SpaceResource } from "./_space.ts";
import { OpenTerm } from "./_term.ts";
import type { Election, ElectionEvent, Term } from "./election.ts";

/** How a term ended. */
type Outcome =
  /** Its signal aborted. */
  | { readonly kind: "over" }
  /** Its work is done. */
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: unknown };

/** Milliseconds of a term after which failures before it are forgotten. */
const LONG_TERM_MS = 60_000;
const ABORTED = AbortSignal.abort();
const logger = jsflowLogger("kv");

/** Stands for election until it is closed. */
export class OpenElection implements Election, SpaceResource {
  readonly name: string;
  readonly closed: Promise<void>;
  readonly #space: Space;
  readonly #settings: ElectionSettings;
  readonly #ending = new AbortController();
  readonly #listeners = new Set<(event: ElectionEvent) => void>();
  readonly #waiting = new Set<(term: Term) => void>();
  readonly #forget: () => void;
  readonly #onAbort = () => this.#end();
  #term: OpenTerm | undefined;
  #failures = 0;

  /** @throws {JsflowError} `connection_closed` when the space is closed. */
  constructor(space: Space, name: string, settings: ElectionSettings) {
    this.name = name;
    this.#space = space;
    this.#settings = settings;
    this.#forget = space.own(this);
    settings.signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.closed = this.#run();
    space.inBackground(this.closed);
  }

  get term(): Term | undefined {
    return this.#term?.isHeld ? this.#term : undefined;
  }

  get isLeader(): boolean {
    return this.term !== undefined;
  }

  get signal(): AbortSignal {
    return this.#term?.signal ?? ABORTED;
  }

  async elected(options?: WaitBounds): Promise<Term> {
    const limits = { ...checkLimits("elected", options), what: `lead ${this.#shown}` };
    return await withLimits(this.#space, limits, (signal) => this.#whenElected(signal));
  }

  onEvent(listener: (event: ElectionEvent) => void): () => void {
    checkFunction("onEvent: listener", listener);
    const own = (event: ElectionEvent) => listener(event); // the same function may listen twice
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async close(): Promise<void> {
    this.#end();
    await this.closed.catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #shown(): string {
    return JSON.stringify(this.name);
  }

  #end(): void {
    this.#ending.abort(
      new JsflowError("connection_closed", `cannot lead ${this.#shown}: the election was closed`),
    );
    const why = `cannot go on leading ${this.#shown}: the election was closed`;
    this.#term?.end(new JsflowError("lease_lost", why));
  }

  async #run(): Promise<void> {
    try {
      while (await this.#stand());
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      logger.error("Election {name} ended: {error}", { name: this.name, error });
      throw error;
    } finally {
      this.#end();
      this.#settings.signal?.removeEventListener("abort", this.#onAbort);
      this.#forget();
    }
  }

  /** One term; returns whether to stand again. */
  async #stand(): Promise<boolean> {
    const { leaseMs } = this.#settings;
    const contender = createLockContender(this.#space, {
      kind: "leader",
      name: this.name,
      leaseMs,
    });
    const lease = await acquire(this.#space, contender, { signal: this.#ending.signal });
    const since = this.#space.clock.monotonic();
    const term = new OpenTerm(lease);
    this.#begin(term);
    const outcome = await this.#serve(term);
    await this.#resign(term);
    if (this.#space.clock.monotonic() - since >= LONG_TERM_MS) this.#failures = 0;
    if (outcome.kind === "failed") await this.#recover(term, outcome.error);
    return outcome.kind !== "done" && !this.#ending.signal.aborted;
  }

  #begin(term: OpenTerm): void {
    const { token, lease } = term;
    this.#term = term;
    // Closed in the very moment in which it was elected.
    if (this.#ending.signal.aborted) this.#end();
    const onLost = () => this.#emit({ type: "lost", token, error: lease.signal.reason });
    this.#emit({ type: "elected", token });
    if (lease.signal.aborted) onLost();
    else lease.signal.addEventListener("abort", onLost, { once: true });
    for (const resolve of this.#waiting) resolve(term);
    this.#waiting.clear();
  }

  /** Leads until the term is over or its work ends. */
  async #serve(term: OpenTerm): Promise<Outcome> {
    const { lead } = this.#settings;
    if (lead === undefined) {
      await aborted(term.signal);
      return { kind: "over" };
    }
    const late = new AbortController();
    const running = (async () => await lead(term))();
    const stopCounting = this.#countGrace(() => late.abort());
    try {
      await untilAborted(running, late.signal);
      return { kind: term.signal.aborted ? "over" : "done" };
    } catch (error) {
      if (!late.signal.aborted) return this.#failure(term, error);
      logger.warn("What leads {name} did not end in time", { name: this.name, token: term.token });
      return { kind: "over" };
    } finally {
      stopCounting();
    }
  }

  #failure(term: OpenTerm, error: unknown): Outcome {
    const isExpected = term.signal.aborted && error === term.signal.reason;
    return isExpected ? { kind: "over" } : { kind: "failed", error };
  }

  /** Calls back once the grace has passed since the election was closed. */
  #countGrace(onLate: () => void): () => void {
    const ending = this.#ending.signal;
    const stop = new AbortController();
    const count = () => {
      const grace = this.#space.clock.sleep(this.#settings.graceMs, stop.signal);
      this.#space.inBackground(grace.then(onLate));
    };
    if (ending.aborted) count();
    else ending.addEventListener("abort", count, { once: true });
    return () => {
      ending.removeEventListener("abort", count);
      stop.abort();
    };
  }

  async #resign(term: OpenTerm): Promise<void> {
    const { lease, token } = term;
    this.#term = undefined;
    if (lease.signal.aborted) return await lease.release().catch(() => {});
    try {
      await lease.release();
    } catch (error) {
      logger.warn("Could not hand over {name}: {error}", { name: this.name, token, error });
    }
    if (!lease.signal.aborted) this.#emit({ type: "resigned", token });
  }

  /** Tells of what `lead` threw, and waits before the next term. */
  async #recover({ token }: OpenTerm, error: unknown): Promise<void> {
    this.#failures++;
    logger.error("What leads {name} failed: {error}", { name: this.name, token, error });
    this.#emit({ type: "failed", token, error });
    const delayMs = retryDelayMs(this.#settings.retry, this.#failures, this.#space.random);
    if (delayMs === undefined) throw error;
    await this.#space.clock.sleep(delayMs, this.#ending.signal);
  }

  #whenElected(signal: AbortSignal): Promise<Term> {
    const { term } = this;
    if (term !== undefined) return Promise.resolve(term);
    const { promise, resolve, reject } = Promise.withResolvers<Term>();
    const ending = this.#ending.signal;
    const abort = () => reject(signal.aborted ? signal.reason : ending.reason);
    if (ending.aborted) abort();
    this.#waiting.add(resolve);
    signal.addEventListener("abort", abort, { once: true });
    ending.addEventListener("abort", abort, { once: true });
    return promise.finally(() => {
      this.#waiting.delete(resolve);
      signal.removeEventListener("abort", abort);
      ending.removeEventListener("abort", abort);
    });
  }

  #emit(event: ElectionEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        logger.warn("A listener of election {name} failed: {error}", { name: this.name, error });
      }
    }
  }
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
