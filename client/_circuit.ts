import {
  circuitBreaker,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  noJitterGenerator,
} from "cockatiel";
import type { Breaker, BreakerState, Failure } from "./breaker.ts";

/** When the breaker opens, and for how long. */
export interface CircuitSettings {
  readonly threshold: number;
  readonly initialMs: number;
  readonly maxMs: number;
}

/** What an operation says about the connection and JetStream. */
export type Verdict = "answered" | "connection" | "jetstream" | "unknown";

/** How an operation ended, for the breaker. */
export interface Outcome {
  readonly verdict: Verdict;
  /** What it failed with; needed when the verdict is a fault. */
  readonly error?: Error | undefined;
}

/** What the breaker has to say to an operation. */
export type Admission = "pass" | "probe" | "refuse" | "wait";

/**
 * A breaker that is told how operations ended, and runs only probes itself, so that it costs
 * nothing while all is well.
 */
export class Circuit implements Breaker {
  readonly #settings: CircuitSettings | false;
  readonly #onChange: (state: BreakerState) => void;
  #policy: CircuitBreakerPolicy | undefined;
  #state: BreakerState = "closed";
  #failures = 0;
  #lastFailure: Failure | undefined;
  /** How often it has opened since it was closed; the delay doubles with each. */
  #openings = 0;
  /** On the monotonic clock. */
  #openedAt = -Infinity;
  #failedAt = -Infinity;
  #jetstreamSuspected = false;
  #probing: Promise<void> | undefined;

  constructor(settings: CircuitSettings | false, onChange: (state: BreakerState) => void) {
    this.#settings = settings;
    this.#onChange = onChange;
    if (settings !== false) this.#policy = this.#build(settings);
  }

  get state(): BreakerState {
    return this.#state;
  }

  get failures(): number {
    return this.#failures;
  }

  get lastFailure(): Failure | undefined {
    return this.#lastFailure;
  }

  /** When the last failure was counted, on the monotonic clock. */
  get failedAt(): number {
    return this.#failedAt;
  }

  get retryAfterMs(): number {
    if (this.#state !== "open" || this.#settings === false) return 0;
    const { initialMs, maxMs } = this.#settings;
    const delayMs = Math.min(maxMs, initialMs * 2 ** (this.#openings - 1));
    return Math.max(0, this.#openedAt + delayMs - performance.now());
  }

  /** Whether JetStream was among what failed, so that a mere connection proves nothing. */
  get jetstreamSuspected(): boolean {
    return this.#jetstreamSuspected;
  }

  /** Resolves when the probe under way is over; never rejects. */
  get decision(): Promise<void> {
    return this.#probing ?? Promise.resolve();
  }

  /** What an operation that comes now should do. */
  admission(): Admission {
    if (this.#state === "closed") return "pass";
    if (this.#probing !== undefined) return "wait";
    return this.retryAfterMs > 0 ? "refuse" : "probe";
  }

  /** Counts how an operation ended that was let pass; resolves when the state has followed. */
  async record({ verdict, error }: Outcome): Promise<void> {
    if (verdict === "unknown") return;
    if (verdict !== "answered") {
      this.#count(verdict, error);
      if (this.#state === "closed") await this.#execute(() => Promise.reject(error));
    } else if (this.#state === "closed" && this.#failures > 0) {
      this.#failures = 0;
      this.#jetstreamSuspected = false;
      await this.#execute(() => Promise.resolve());
    }
  }

  /** Lets one operation through, whose outcome closes or opens the breaker; never rejects. */
  async probe(work: () => Promise<Outcome>): Promise<void> {
    // The policy goes by the wall clock, which may have been set back: that a probe is due is
    // decided here.
    if (this.#state === "open") this.#renewPolicy();
    const { promise: decision, resolve } = Promise.withResolvers<void>();
    this.#probing = decision; // before anything runs that might ask for admission
    const policy = this.#policy;
    await this.#execute(async () => {
      const { verdict, error } = await work();
      if (verdict === "answered") return;
      if (policy !== this.#policy) return; // the connection came back meanwhile
      if (verdict === "unknown") this.#rearm(); // it says nothing: the next one may probe
      else this.#count(verdict, error);
      throw error ?? new Error("no verdict");
    });
    if (this.#probing === decision) this.#probing = undefined;
    resolve();
  }

  /**
   * The connection came back: that closes a breaker which the connection had opened, and makes a
   * probe due when JetStream had.
   */
  async connectionBack(): Promise<void> {
    if (this.#state === "closed") {
      if (!this.#jetstreamSuspected) await this.record({ verdict: "answered" });
      return;
    }
    this.#rearm();
    if (!this.#jetstreamSuspected) await this.probe(() => Promise.resolve({ verdict: "answered" }));
  }

  #count(verdict: "connection" | "jetstream", error: Error | undefined): void {
    this.#failures++;
    this.#failedAt = performance.now();
    this.#lastFailure = { at: new Date(), error: error ?? new Error("unknown") };
    if (verdict === "jetstream") this.#jetstreamSuspected = true;
  }

  async #execute(work: () => Promise<void>): Promise<void> {
    await this.#policy?.execute(work).catch(() => {}); // whoever did the work knows
  }

  #build(settings: CircuitSettings, initialState?: unknown): CircuitBreakerPolicy {
    const { threshold, initialMs, maxMs } = settings;
    const policy = circuitBreaker(handleAll, {
      breaker: new ConsecutiveBreaker(threshold),
      halfOpenAfter: new ExponentialBackoff({
        generator: noJitterGenerator,
        initialDelay: initialMs,
        maxDelay: maxMs,
      }),
      ...(initialState === undefined ? {} : { initialState }),
    });
    policy.onStateChange((state) => {
      if (policy === this.#policy) this.#follow(state);
    });
    return policy;
  }

  #follow(state: CircuitState): void {
    if (state === CircuitState.Open) {
      this.#openings++;
      this.#openedAt = performance.now();
      this.#change("open");
    } else if (state === CircuitState.HalfOpen) {
      this.#change("half-open");
    } else {
      this.#openings = 0;
      this.#failures = 0;
      this.#jetstreamSuspected = false;
      this.#change("closed");
    }
  }

  /** Makes a probe due now. */
  #rearm(): void {
    if (this.#settings === false) return;
    this.#renewPolicy();
    this.#probing = undefined;
    this.#openedAt = -Infinity;
    if (this.#state !== "open") this.#change("open");
  }

  /** Has the policy let a probe through. It has no way for that but its stored state. */
  #renewPolicy(): void {
    if (this.#settings === false) return;
    this.#openings = Math.max(1, this.#openings);
    this.#policy = this.#build(this.#settings, {
      ownState: { value: CircuitState.Open, openedAt: 0, attemptNo: this.#openings },
      breakerState: this.#settings.threshold,
    });
  }

  #change(state: BreakerState): void {
    this.#state = state;
    this.#onChange(state);
  }
}
