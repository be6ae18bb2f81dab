import type { ConsumerSettings } from "./_consumer_settings.ts";
import { findConsumer, type FoundConsumer, openConsumer } from "./_consumer_setup.ts";
import { FetchedBatch } from "./_fetch_batch.ts";
import { FetchPull, type PullEnd } from "./_fetch_pull.ts";
import type { FetchSettings } from "./_fetch_settings.ts";
import { serverOf } from "./_stream_api.ts";
import { within } from "./_within.ts";
import type { Batch } from "./batch.ts";
import { systemClock } from "./clock.ts";
import type { ClientCore } from "./core.ts";
import { timeoutError, withDeadline } from "./deadline.ts";
import { JsflowError } from "./errors.ts";
import { MAX_TIMER_MS } from "./validate.ts";
import type { Operation } from "../trace/telemetry.ts";

/** For the last words to the server. */
const FAREWELL_MS = 2_000;
/** Before the server is asked again that has ended a request early. */
const PAUSE_MS = 100;
/** With less time left nothing more is asked for. */
const MIN_LEFT_MS = 10;

/** One call of `fetch`. */
export class FetchCall<T, K extends string> {
  readonly #core: ClientCore;
  readonly #settings: FetchSettings<T, K>;
  readonly #operation: Operation;
  readonly #what: string;
  /** Aborts with the caller's signal, and when the client closes. */
  readonly #ending = new AbortController();
  #pull: FetchPull | undefined;
  /** What goes on when the call has ended; never rejects. */
  #tidying: Promise<void> = Promise.resolve();

  constructor(core: ClientCore, settings: FetchSettings<T, K>, operation: Operation) {
    this.#core = core;
    this.#settings = settings;
    this.#operation = operation;
    this.#what = `fetch from consumer ${settings.name}`;
  }

  /** Does it all. The client waits for what this leaves to do, when it closes meanwhile. */
  async run(): Promise<Batch<T, K>> {
    const { signal } = this.#settings.bounds;
    const { promise: tidied, resolve: tidy } = Promise.withResolvers<void>();
    const disown = this.#core.own({
      stop: () => this.#ending.abort(this.#closedError()),
      drain: () => tidied.then(() => []),
    });
    const abort = () => this.#ending.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.#fetch(await this.#open());
    } finally {
      signal?.removeEventListener("abort", abort);
      void this.#tidying.then(() => {
        disown();
        tidy();
      });
    }
  }

  #open(): Promise<FoundConsumer> {
    const { bounds: { timeoutMs }, consumer, name } = this.#settings;
    const { signal } = this.#ending;
    const onTimeout = () => timeoutError(this.#what, timeoutMs);
    const shared = consumer as unknown as ConsumerSettings<unknown, never>;
    return withDeadline(
      { signal, timeoutMs, onTimeout },
      (signal) => openConsumer(this.#core, { ...shared, signal }, name),
    );
  }

  async #fetch(found: FoundConsumer): Promise<Batch<T, K>> {
    const batch = new FetchedBatch(this.#core, this.#settings, found);
    this.#operation.note({ stream: found.stream });
    const beat = setInterval(() => batch.beat(), batch.beatMs);
    try {
      await this.#collect(batch);
    } catch (error) {
      const isLost = this.#ending.signal.aborted || batch.size === 0;
      this.#tidying = this.#leave(batch, isLost);
      if (isLost) throw error;
      batch.report(error); // what has come is worth more
    } finally {
      clearInterval(beat);
    }
    this.#operation.note({ batchCount: batch.size, links: batch.links });
    return batch;
  }

  /** Asks until there are enough messages or the time is over. */
  async #collect(batch: FetchedBatch<T, K>): Promise<void> {
    const { expiresMs, maxMessages } = this.#settings;
    const overAt = performance.now() + expiresMs;
    let failure: JsflowError | undefined;
    do {
      const { how, detail } = await this.#ask(batch, overAt);
      if (how === "done" && !batch.isLimited) return;
      const isStarted = batch.size > 0 && batch.maxBytes !== undefined; // with how many is unknown
      if (isStarted) return;
      failure = undefined;
      if (how === "done") continue;
      this.#core.telemetry.count("fetchErrors");
      failure = await this.#failureOf({ how, detail }, batch.stream);
      await systemClock.sleep(PAUSE_MS, this.#ending.signal);
    } while (overAt - performance.now() >= MIN_LEFT_MS && batch.size < maxMessages);
    if (failure !== undefined && batch.size === 0) throw failure;
  }

  /** Sends one request and waits for its end. */
  async #ask(batch: FetchedBatch<T, K>, overAt: number): Promise<PullEnd> {
    const { bounds: { bypassBreaker, timeoutMs }, maxMessages } = this.#settings;
    const { signal } = this.#ending;
    const bounds = {
      signal,
      timeoutMs: Math.min(MAX_TIMER_MS, Math.max(0, overAt - performance.now()) + timeoutMs),
      jetstream: true,
      failOnDisconnect: true,
      bypassBreaker,
    };
    try {
      return await this.#core.guard(this.#what, bounds, async () => {
        const leftMs = Math.max(MIN_LEFT_MS, overAt - performance.now());
        const end = await this.#request(batch, maxMessages - batch.size, leftMs);
        if (end.how !== "silent") return end;
        throw this.#error("timeout", `${end.detail}; check the server and the network, try again`);
      });
    } catch (error) {
      if (!signal.aborted) this.#core.telemetry.count("fetchErrors");
      throw error;
    }
  }

  async #request(
    batch: FetchedBatch<T, K>,
    count: number,
    expiresMs: number,
  ): Promise<PullEnd> {
    const pull = this.#pull = new FetchPull({
      core: this.#core,
      stream: batch.stream,
      consumer: batch.consumer,
      batch: Math.min(count, batch.limits.messages),
      maxBytes: batch.maxBytes,
      expiresMs: Math.min(expiresMs, batch.limits.expiresMs),
      onMessage: (delivery) => batch.accept(delivery),
    });
    const end = await pull.ended;
    if (end.how === "silent") return end;
    this.#pull = undefined;
    await pull.close(); // nothing is on its way
    return end;
  }

  /** Says why a request ended early, if others may do better; throws if not. */
  async #failureOf({ how, detail }: PullEnd, stream: string): Promise<JsflowError> {
    if (how === "too_large") {
      throw this.#error("payload_too_large", "the next message exceeds maxBytes; raise it");
    }
    if (how === "refused") throw this.#error("nats", detail);
    if (how === "gone" && await this.#isGone(stream)) {
      throw this.#error("consumer_not_found", `there is none in ${stream} any more; fetch again`);
    }
    return this.#error("jetstream_unavailable", `${detail}; try again`);
  }

  async #isGone(stream: string): Promise<boolean> {
    const { signal } = this.#ending;
    const { bounds: { bypassBreaker }, name: consumer } = this.#settings;
    const call = { signal: signal.aborted ? undefined : signal, bypassBreaker };
    return await findConsumer(this.#core, { stream, consumer, ...call }) === undefined;
  }

  /** What is on its way goes back; so does what has come, when nobody gets it. Never rejects. */
  async #leave(batch: FetchedBatch<T, K>, isLost: boolean): Promise<void> {
    if (!isLost) batch.shut();
    // The request goes first, or the server would answer it with what is given back.
    const closed = this.#pull?.close();
    if (isLost) {
      if (closed !== undefined && !this.#forgetsRequests()) {
        await within(FAREWELL_MS, this.#isGone(batch.stream));
      }
      batch.shut();
      batch.giveBack();
    }
    if (closed !== undefined) await within(FAREWELL_MS, closed);
  }

  /** Servers of the 2.9 line go on to serve a request that nobody waits for, until they look. */
  #forgetsRequests(): boolean {
    const { connection } = this.#core;
    return connection.info === undefined || serverOf(this.#core).supports("consumer_filters");
  }

  #closedError(): JsflowError {
    return this.#error("connection_closed", "the client is closed; connect again");
  }

  #error(code: JsflowError["code"], why: string): JsflowError {
    return new JsflowError(code, `cannot ${this.#what}: ${why}`);
  }
}
