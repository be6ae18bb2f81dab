import { autoCreateConfig, type StreamAutoCreate } from "./auto_create.ts";
import {
  type ConsumeOptions,
  type ConsumerAckPolicy,
  DEFAULT_PULL_HEARTBEAT_MS,
  type DeliverFrom,
} from "./consume_options.ts";
import { checkOnDrift, type OnDrift } from "./ensure_stream.ts";
import { checkStreamName } from "./stream_name.ts";
import type { Subject } from "./subject.ts";
import { checkSubjectFilter, filterCovers } from "./subject_filter.ts";
import {
  checkBoolean,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOneOf,
  checkSignal,
  describe,
} from "./validate.ts";

const MAX_COUNT = 100_000;
const MAX_BACKOFFS = 1_000;
const MAX_FILTERS = 1_000;
const MIN_PULL_HEARTBEAT_MS = 100;
const MAX_PULL_HEARTBEAT_MS = 60_000;
/** The server counts nanoseconds in 64 bits. */
const MAX_TIME_MS = 9_223_372_036_854;

/** The calls that take options of a consumer. */
export type ConsumingCall = "consume" | "fetch";

/** Checks options of a consumer, one by one; errors name the call that they were given to. */
export class ConsumerChecks {
  readonly #call: ConsumingCall;

  constructor(call: ConsumingCall) {
    this.#call = call;
  }

  subject(value: unknown): void {
    const candidate = value as Partial<Subject<unknown, never>> | null | undefined;
    if (typeof candidate?.filter === "string" && typeof candidate.match === "function") return;
    throw new TypeError(`${this.#call} needs a subject, got ${describe(value)}`);
  }

  name(name: string, value: unknown): string | undefined {
    return value === undefined ? undefined : checkStreamName(this.#path(name), value);
  }

  filters<T, K extends string>(subject: Subject<T, K>, value: unknown): readonly string[] {
    if (value === undefined) return [subject.filter];
    if (!Array.isArray(value) || value.length === 0 || value.length > MAX_FILTERS) {
      throw new TypeError(
        `${this.#path("filters")} must be an array of 1 to ${MAX_FILTERS} subjects, ` +
          `got ${describe(value)}`,
      );
    }
    return value.map((item: unknown, index) => {
      const path = this.#path(`filters[${index}]`);
      const filter = checkSubjectFilter(path, item);
      if (filterCovers(subject.filter, filter)) return filter;
      throw new TypeError(`${path} must lie within ${subject.filter}, got ${describe(filter)}`);
    });
  }

  deliver(value: unknown): DeliverFrom | undefined {
    if (typeof value === "object" && value !== null) {
      const { time, sequence } = value as { time?: unknown; sequence?: unknown };
      if (time !== undefined && sequence === undefined) return { time: this.#time(time) };
      if (sequence !== undefined && time === undefined) {
        return { sequence: checkInteger(this.#path("deliver.sequence"), sequence, { min: 1 }) };
      }
      throw new TypeError(`${this.#path("deliver")} must have either time or sequence`);
    }
    return this.oneOf<DeliverFrom & string>("deliver", value, [
      "all",
      "last",
      "last-per-subject",
      "new",
    ]);
  }

  backoff(value: unknown, min: number): readonly number[] | undefined {
    if (value === undefined) return undefined;
    const path = this.#path("backoffMs");
    if (!Array.isArray(value)) {
      throw new TypeError(`${path} must be an array, got ${describe(value)}`);
    }
    if (value.length === 0 || value.length > MAX_BACKOFFS) {
      throw new RangeError(`${path} must have from 1 to ${MAX_BACKOFFS} entries`);
    }
    return value.map((ms: unknown, index) => checkDurationMs(`${path}[${index}]`, ms, { min }));
  }

  autoCreate<T, K extends string>(
    subject: Subject<T, K>,
    given: Pick<ConsumeOptions<T, K>, "autoCreate" | "stream">,
  ): StreamAutoCreate | undefined {
    const { autoCreate = false, stream } = given;
    if (autoCreate === false) return undefined;
    const named = stream === undefined ? {} : { stream };
    const plan = autoCreate === true ? named : { ...autoCreate, ...named };
    const path = this.#path("autoCreate");
    autoCreateConfig(path, subject, autoCreate === true ? plan : autoCreate);
    if (autoCreate !== true) autoCreateConfig(path, subject, plan);
    return plan;
  }

  onDrift(value: unknown): OnDrift {
    return checkOnDrift(this.#call, value);
  }

  signal(value: unknown): AbortSignal | undefined {
    return checkSignal(this.#path("signal"), value);
  }

  pullHeartbeat(value: unknown): number {
    if (value === undefined) return DEFAULT_PULL_HEARTBEAT_MS;
    const bounds = { min: MIN_PULL_HEARTBEAT_MS, max: MAX_PULL_HEARTBEAT_MS };
    return checkDurationMs(this.#path("pullHeartbeatMs"), value, bounds);
  }

  /** A count, or -1 for no bound. */
  countOrAny(name: string, value: unknown, max?: number): number | undefined {
    return value === -1 ? value : this.count(name, value, max);
  }

  count(name: string, value: unknown, max: number = MAX_COUNT): number | undefined {
    if (value === undefined) return undefined;
    return checkInteger(this.#path(name), value, { min: 1, max });
  }

  duration(name: string, value: unknown, min: number): number | undefined {
    return value === undefined ? undefined : checkDurationMs(this.#path(name), value, { min });
  }

  boolean(name: string, value: unknown): boolean | undefined {
    return value === undefined ? undefined : checkBoolean(this.#path(name), value);
  }

  callback<F extends (...args: never[]) => unknown>(name: string, value: unknown): F | undefined {
    return value === undefined ? undefined : checkFunction<F>(this.#path(name), value);
  }

  oneOf<V extends string>(name: string, value: unknown, allowed: readonly V[]): V | undefined {
    return value === undefined ? undefined : checkOneOf(this.#path(name), value, allowed);
  }

  /** Checks what must fit together. */
  together(settings: {
    readonly ackPolicy: ConsumerAckPolicy | undefined;
    readonly backoffMs: readonly number[] | undefined;
    readonly concurrency: number;
    readonly maxDeliver: number | undefined;
    readonly maxMessages: number;
  }): void {
    const { ackPolicy, backoffMs, concurrency, maxDeliver, maxMessages } = settings;
    if (maxMessages < concurrency) {
      throw new RangeError(
        `${this.#path("maxMessages")} (${maxMessages}) must not be below concurrency ` +
          `(${concurrency})`,
      );
    }
    if (ackPolicy === "all" && concurrency > 1) {
      throw new TypeError(
        `${this.#path('ackPolicy "all"')} needs concurrency 1: an ack settles the messages ` +
          "before it too",
      );
    }
    if (ackPolicy === "none" && backoffMs !== undefined) {
      throw new TypeError(`${this.#path("backoffMs")} makes no sense with ackPolicy "none"`);
    }
    if (backoffMs && maxDeliver !== undefined && maxDeliver > 0 && maxDeliver <= backoffMs.length) {
      throw new RangeError(
        `${this.#path("maxDeliver")} (${maxDeliver}) must exceed the ${backoffMs.length} entries ` +
          "of backoffMs",
      );
    }
  }

  #time(value: unknown): Date {
    const path = this.#path("deliver.time");
    if (!(value instanceof Date)) {
      throw new TypeError(`${path} must be a Date, got ${describe(value)}`);
    }
    const ms = value.getTime();
    if (!(ms >= 0 && ms <= MAX_TIME_MS)) {
      throw new RangeError(`${path} must lie between 1970 and 2262`);
    }
    return new Date(ms); // the caller's may change
  }

  #path(name: string): string {
    return `${this.#call}: ${name}`;
  }
}
