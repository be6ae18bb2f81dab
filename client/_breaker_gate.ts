import { Circuit, type CircuitSettings, type Outcome } from "./_circuit.ts";
import type { JetStreamFinding } from "./_jetstream_probe.ts";
import { logger } from "./_logger.ts";
import { verdictOf } from "./_verdict.ts";
import type { BreakerEvent } from "./client_event.ts";
import { CircuitOpenError } from "./connection_errors.ts";
import type { GuardOptions } from "./core.ts";
import { isReason, timeoutError, withDeadline } from "./deadline.ts";
import { translateError } from "./translate_error.ts";

/** How long JetStream may take to show that it is there, before a failure is held against it. */
const SUSPICION_TIMEOUT_MS = 1_000;

/** What a gate needs of the client. */
export interface GateSources {
  /** Asks JetStream as a whole. */
  readonly findJetStream: (timeoutMs: number) => Promise<JetStreamFinding>;
  /** Waits for the server to answer. */
  readonly flush: () => Promise<void>;
  readonly isLinked: () => boolean;
  readonly emit: (event: BreakerEvent) => void;
}

/** One exchange with the server, within its bounds. */
export type Attempt<T> = (onStart: (signal: AbortSignal) => void) => Promise<T>;

/** Lets operations through the breaker, and tells it how they ended. */
export class BreakerGate {
  readonly circuit: Circuit;
  readonly #sources: GateSources;
  readonly #background = new Set<Promise<void>>();
  /** Signals of the probe under way: what it does inside is part of it. */
  readonly #probeSignals = new WeakSet<AbortSignal>();
  #finding: Promise<JetStreamFinding> | undefined;
  #lostAt = -Infinity;

  constructor(settings: CircuitSettings | undefined, sources: GateSources) {
    this.#sources = sources;
    this.circuit = new Circuit(settings ?? false, (state) => {
      const { retryAfterMs } = this.circuit;
      logger.info("The breaker is {state}", { state, retryAfterMs });
      sources.emit({ type: "breaker", state, retryAfterMs });
    });
  }

  /** Throws unless something may go out without an answer now. */
  check(what: string): void {
    const admission = this.circuit.admission();
    if (admission === "pass") return;
    if (admission !== "probe") throw new CircuitOpenError(what, this.circuit.retryAfterMs);
    this.#probeBehind();
  }

  /** The same, once the probe under way has decided. */
  async admit(what: string, options: GuardOptions): Promise<void> {
    if (options.bypassBreaker === true || this.#isPartOfProbe(options)) return;
    while (this.circuit.admission() === "wait") await this.#awaitDecision(what, options);
    this.check(what);
  }

  /** Makes an attempt, as the probe if one is due. */
  async pass<T>(what: string, options: GuardOptions, attempt: Attempt<T>): Promise<T> {
    if (this.#isPartOfProbe(options)) return await attempt(() => {});
    const startedAt = performance.now();
    if (options.bypassBreaker !== true) {
      // No pause between looking and going: only one may be the probe.
      while (this.circuit.admission() === "wait") await this.#awaitDecision(what, options);
      const admission = this.circuit.admission();
      if (admission === "refuse") throw new CircuitOpenError(what, this.circuit.retryAfterMs);
      if (admission === "probe") return await this.#probe(what, options, attempt);
    }
    try {
      const value = await attempt(() => {});
      this.#succeeded(options, startedAt);
      return value;
    } catch (error) {
      await this.#blame(error, options, startedAt);
      throw error;
    }
  }

  /** Counts a fault of the connection that no attempt was made for. */
  fault(error: Error): void {
    this.#track(this.circuit.record({ verdict: "connection", error }));
  }

  /** Counts the loss of the connection, once for all that was under way on it. */
  lost(error: Error): void {
    this.#lostAt = performance.now();
    this.fault(error);
  }

  /** Counts the failure of an attempt that the breaker had no say in, if it is one of these. */
  failed(error: Error): void {
    if (verdictOf(error, false) === "connection") this.fault(error);
  }

  /** Resolves when nothing is under way behind the scenes. */
  async settle(): Promise<void> {
    await Promise.all(this.#background);
  }

  #isPartOfProbe({ signal }: GuardOptions): boolean {
    return signal !== undefined && this.#probeSignals.has(signal);
  }

  async #awaitDecision(what: string, options: GuardOptions): Promise<void> {
    const { signal, timeoutMs } = options;
    const onTimeout = () => new CircuitOpenError(what, this.circuit.retryAfterMs);
    await withDeadline({ signal, timeoutMs, onTimeout }, () => this.circuit.decision);
  }

  /** Makes the attempt as the one probe of a half-open breaker. */
  async #probe<T>(what: string, options: GuardOptions, attempt: Attempt<T>): Promise<T> {
    const startedAt = performance.now();
    let done: { readonly value: T } | undefined;
    let failure: { readonly error: unknown } | undefined;
    const { promise: failed, resolve: fail } = Promise.withResolvers<void>();
    const decided = this.circuit.probe(async () => {
      try {
        done = { value: await attempt((signal) => this.#probeSignals.add(signal)) };
        return await this.#outcomeOfSuccess(options, startedAt);
      } catch (error) {
        failure = { error };
        fail(); // whoever waits need not wait for the verdict
        return await this.#outcomeOf(error, options, startedAt);
      }
    });
    this.#track(decided);
    await Promise.race([decided, failed]);
    if (failure !== undefined) throw failure.error;
    if (done === undefined) throw new CircuitOpenError(what, this.circuit.retryAfterMs);
    return done.value;
  }

  /** Probes on nobody's behalf, for what goes out without an answer. */
  #probeBehind(): void {
    const timeoutMs = SUSPICION_TIMEOUT_MS;
    const startedAt = performance.now();
    const onTimeout = () => timeoutError("reach the server", timeoutMs);
    const probing = this.circuit.probe(async () => {
      try {
        await withDeadline({ timeoutMs, onTimeout }, () => this.#sources.flush());
      } catch (error) {
        if (this.#isCasualty(startedAt)) return { verdict: "unknown" };
        return { verdict: "connection", error: translateError(error, "reach the server") };
      }
      return await this.#outcomeOfSuccess({ timeoutMs }, startedAt);
    });
    this.#track(probing);
  }

  #succeeded(options: GuardOptions, startedAt: number): void {
    const { circuit } = this;
    if (circuit.failures === 0 || (circuit.jetstreamSuspected && !options.jetstream)) return;
    if (startedAt <= circuit.failedAt) return; // it says nothing about the time after the failure
    this.#track(circuit.record({ verdict: "answered" }));
  }

  /** A mere answer proves nothing about a JetStream that did not answer before. */
  async #outcomeOfSuccess(options: GuardOptions, startedAt: number): Promise<Outcome> {
    if (!this.circuit.jetstreamSuspected || options.jetstream) return { verdict: "answered" };
    const error = timeoutError("reach JetStream", SUSPICION_TIMEOUT_MS);
    return await this.#suspect(error, options, startedAt);
  }

  /** Has the breaker count an error; at once, unless JetStream must be asked first. */
  async #blame(error: unknown, options: GuardOptions, startedAt: number): Promise<void> {
    const outcome = this.#outcomeOf(error, options, startedAt);
    if (outcome instanceof Promise) this.#track(outcome.then((it) => this.circuit.record(it)));
    else if (outcome.verdict === "answered") this.#succeeded(options, startedAt);
    else await this.circuit.record(outcome);
  }

  #outcomeOf(
    error: unknown,
    options: GuardOptions,
    startedAt: number,
  ): Outcome | Promise<Outcome> {
    const verdict = isReason(error, options.signal)
      ? "unknown"
      : verdictOf(error, options.jetstream === true);
    if (verdict === "suspect") return this.#suspect(error as Error, options, startedAt);
    if (verdict === "connection" && this.#isCasualty(startedAt)) return { verdict: "unknown" };
    if (verdict === "unknown" || verdict === "answered") return { verdict };
    return { verdict, error: error as Error };
  }

  async #suspect(error: Error, options: GuardOptions, startedAt: number): Promise<Outcome> {
    if (this.#isCasualty(startedAt)) return { verdict: "unknown" };
    const finding = await this.#findJetStream(options.timeoutMs);
    if (this.#isCasualty(startedAt)) return { verdict: "unknown" };
    if (finding === "unreachable") return { verdict: "jetstream", error };
    return { verdict: finding === "unknown" ? "unknown" : "answered" };
  }

  /** One request for all that fail at the same time: JetStream may be too busy as it is. */
  #findJetStream(timeoutMs: number): Promise<JetStreamFinding> {
    const limitMs = Math.max(1, Math.min(timeoutMs, SUSPICION_TIMEOUT_MS));
    this.#finding ??= this.#sources.findJetStream(limitMs).finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  /** Whether what began at that time ended with a connection whose loss is counted already. */
  #isCasualty(startedAt: number): boolean {
    return startedAt <= this.#lostAt || !this.#sources.isLinked();
  }

  /** Keeps a promise of the background, so that closing waits for it. */
  #track(promise: Promise<void>): void {
    const tracked = promise.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }
}
