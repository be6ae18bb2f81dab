import { isJsflowError } from "../client/errors.ts";
import { jsflowLogger } from "../trace/log.ts";
import { appliedVerdict, type LoggedOperation, withApplied } from "./_applied_log.ts";
import type { Bounds } from "./_bucket.ts";
import { changeState } from "./_change_state.ts";
import { inTurn } from "./_in_turn.ts";
import {
  mergeChange,
  mergeSeries,
  type MetricsState,
  readMetrics,
  type Series,
  type SeriesMap,
  textOf,
} from "./_metrics_state.ts";
import type { Space } from "./_space.ts";

/** What is written, and how. */
export interface MetricsRules {
  readonly key: string;
  readonly flushMs: number;
  readonly maxSeries: number;
}

/** Changes that are stored together, once. */
interface Batch extends LoggedOperation {
  readonly changes: SeriesMap;
  /** Whether it may have been stored already. */
  isInDoubt: boolean;
  /** How many of its changes are on no board. */
  dropped: number;
}

const logger = jsflowLogger("kv");

/** Collects changes of a board, and stores them in batches. */
export class MetricsWriter {
  readonly #space: Space;
  readonly #rules: MetricsRules;
  readonly #writer: string;
  readonly #stop = new AbortController();
  #seq = 0;
  #collected: SeriesMap = new Map();
  /** Stays until it is stored or given up: what is collected meanwhile goes with the next one. */
  #batch: Batch | undefined;
  #flushing: Promise<void> | undefined;
  #dropped = 0;

  constructor(space: Space, rules: MetricsRules) {
    this.#space = space;
    this.#rules = rules;
    this.#writer = space.newId();
  }

  get dropped(): number {
    return this.#dropped;
  }

  collect(change: Series): void {
    const [kind, name, labels] = change;
    const isKnown = this.#collected.has(textOf([kind, name, labels]));
    const isFull = !isKnown && this.#collected.size >= this.#rules.maxSeries;
    if (isFull || this.#stop.signal.aborted) return this.#drop(1);
    mergeChange(this.#collected, change);
    this.#flushing ??= this.#flushLater();
  }

  /** Stores what was collected until now, and what could not be stored before. */
  async flush(bounds: Bounds): Promise<void> {
    const turn = { key: `${this.#rules.key} ${this.#writer}`, what: "store metrics", ...bounds };
    await inTurn(this.#space, turn, async (left) => {
      if (this.#batch !== undefined) await this.#store(this.#batch, left);
      if (this.#collected.size === 0) return;
      this.#batch = this.#take();
      await this.#store(this.#batch, left);
    });
  }

  /** Stores what was collected; what can't be stored is dropped. Never rejects. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#flushing;
    await this.flush({ signal: undefined, timeoutMs: this.#space.timeoutMs }).catch(() => {});
    this.#drop((this.#batch?.changes.size ?? 0) + this.#collected.size);
    this.#batch = undefined;
    this.#collected.clear();
  }

  /** Never rejects. */
  async #flushLater(): Promise<void> {
    const { clock, timeoutMs } = this.#space;
    try {
      await clock.sleep(this.#rules.flushMs, this.#stop.signal);
      await this.flush({ signal: undefined, timeoutMs });
    } catch (cause) {
      if (!this.#stop.signal.aborted) {
        logger.warn("Could not store metrics under {key}", { key: this.#rules.key, cause });
      }
    }
    this.#flushing = undefined;
    const isLeft = this.#batch !== undefined || this.#collected.size > 0;
    if (isLeft && !this.#stop.signal.aborted) this.#flushing = this.#flushLater();
  }

  #take(): Batch {
    const changes = this.#collected;
    this.#collected = new Map();
    return { writer: this.#writer, seq: ++this.#seq, changes, isInDoubt: false, dropped: 0 };
  }

  async #store(batch: Batch, bounds: Bounds): Promise<void> {
    const { key } = this.#rules;
    try {
      await changeState(this.#space, {
        key,
        fn: (value, { keep, revision }) => {
          const state = readMetrics(key, { value, revision });
          return this.#next(state, batch, revision) ?? keep;
        },
        onDoubt: () => {
          batch.isInDoubt = true;
        },
      }, bounds);
    } catch (error) {
      if (bounds.signal?.aborted) batch.isInDoubt = true;
      if (!isJsflowError(error, "payload_too_large")) throw error;
      // It never becomes smaller.
      this.#batch = undefined;
      this.#drop(batch.changes.size);
      throw error;
    }
    this.#batch = undefined;
    this.#drop(batch.dropped);
  }

  /** The state with a batch in it; undefined when it is in it already, or nobody can tell. */
  #next(
    { series, log }: MetricsState,
    batch: Batch,
    revision: number,
  ): MetricsState | undefined {
    if (batch.isInDoubt) {
      const verdict = appliedVerdict(log, batch);
      const isRemoved = log.length === 0 && revision > 0;
      batch.dropped = verdict.kind === "applied" ? verdict.result : batch.changes.size;
      if (verdict.kind !== "missing" || isRemoved) return undefined;
    }
    const merged = mergeSeries(series, batch.changes.values(), this.#rules.maxSeries);
    batch.dropped = merged.refused;
    return { series: merged.series, log: withApplied(log, batch, merged.refused) };
  }

  #drop(count: number): void {
    if (count === 0) return;
    if (this.#dropped === 0) {
      const { key, maxSeries } = this.#rules;
      logger.warn("Dropped {count} changes of metrics under {key}", { count, key, maxSeries });
    }
    this.#dropped += count;
  }
}
