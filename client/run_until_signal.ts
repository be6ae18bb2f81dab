import { constants } from "node:os";
import process from "node:process";
import { logger } from "./_logger.ts";
import { JsflowError } from "./errors.ts";
import {
  checkDurationMs,
  checkFunction,
  checkOptions,
  checkSignal,
  describe,
  MAX_TIMER_MS,
} from "./validate.ts";

/** How long work may go on after a signal, and then each closing, in milliseconds. */
export const DEFAULT_SHUTDOWN_GRACE_MS: number = 10_000;
const DEFAULT_SIGNALS: readonly ShutdownSignal[] = ["SIGINT", "SIGTERM"];
/** What terminals send to all processes of a group, npm and others send once more. */
const REPEAT_MS = 250;
const KNOWN_SIGNALS: readonly ShutdownSignal[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR2",
];

/** A signal of the operating system that can ask a program to end. */
export type ShutdownSignal = "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGTERM" | "SIGUSR2";

/** Something that can be closed: a client, a subscription, a server. */
export type Closeable =
  | { close(): unknown }
  | { [Symbol.asyncDispose](): PromiseLike<void> }
  | { [Symbol.dispose](): void };

/** How {@link runUntilSignal} ends. */
export interface RunUntilSignalOptions {
  /** The signals that ask for an end. @default ["SIGINT", "SIGTERM"] */
  readonly signals?: readonly ShutdownSignal[] | undefined;
  /**
   * How long the work may go on after it was asked to end, and then each closing, in milliseconds.
   *
   * @default {@link DEFAULT_SHUTDOWN_GRACE_MS}, 10 seconds
   */
  readonly graceMs?: number | undefined;
  /** What is closed after the work, the last one first, each once the one before is closed. */
  readonly close?: readonly Closeable[] | undefined;
  /** Asks for an end as well; the call then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Why the signal of {@link runUntilSignal} aborted: the program was asked to end. */
export class ShutdownError extends Error {
  /** The signal of the operating system. */
  readonly signal: ShutdownSignal;

  /** Builds the error. */
  constructor(signal: ShutdownSignal) {
    super(`the program was asked to end by ${signal}`);
    this.name = "ShutdownError";
    this.signal = signal;
  }
}

/**
 * Runs a program's work until it ends or the operating system asks for an end.
 *
 * The first signal aborts the signal that `work` is given, with a {@link ShutdownError} as its
 * reason; then the work has `graceMs` to end. A second signal ends the process at once, with the
 * exit code that is usual for it (130 for SIGINT, 143 for SIGTERM); the same one within a quarter of a
 * second counts as the first, since npm and others pass on what the terminal has sent already.
 * Afterwards everything in
 * `close` is closed, also when the work has failed or has not ended in time. While this runs the
 * process stays alive; nothing listens to signals before and after.
 *
 * Returns the signal that asked for the end, or undefined when the work ended by itself. That the
 * work rejects with its signal's reason, or an `AbortError`, is no failure once it was asked to end.
 *
 * @throws {TypeError} or {RangeError} for options that make no sense, before the work begins.
 * @throws {JsflowError} `timeout` when the work or a closing was not done in time.
 * @throws what the work or a closing failed with, in an `AggregateError` when there are several.
 * @throws the reason of the option `signal` when it aborts, once all is done.
 *
 * @example
 * ```ts
 * import { connect, runUntilSignal } from "@x/jsflow/client";
 *
 * async function main(): Promise<void> {
 *   const client = await connect();
 *   await runUntilSignal(async (signal) => {
 *     while (!signal.aborted) await client.connection.flush();
 *   }, { graceMs: 20_000, close: [client] });
 * }
 * console.log(main);
 * ```
 */
export async function runUntilSignal(
  work: (signal: AbortSignal) => unknown,
  options?: RunUntilSignalOptions,
): Promise<ShutdownSignal | undefined> {
  checkFunction("runUntilSignal: work", work);
  const settings = parseOptions(options);
  settings.signal?.throwIfAborted();
  const shutdown = new Shutdown(settings);
  const failures: unknown[] = [];
  try {
    const { signal } = shutdown;
    const working = async () => await work(signal);
    failures.push(...await shutdown.await("end the work", working));
    for (const resource of settings.close.toReversed()) {
      failures.push(...await shutdown.await("close", () => closeOne(resource)));
    }
  } finally {
    shutdown.release();
  }
  throwAll(failures);
  settings.signal?.throwIfAborted();
  return shutdown.requestedBy;
}

interface Settings {
  readonly signals: readonly ShutdownSignal[];
  readonly graceMs: number;
  readonly close: readonly Closeable[];
  readonly signal: AbortSignal | undefined;
}

function parseOptions(options: RunUntilSignalOptions | undefined): Settings {
  const keys = ["close", "graceMs", "signal", "signals"] as const;
  const given: RunUntilSignalOptions = checkOptions("runUntilSignal", options, keys);
  const { signals = DEFAULT_SIGNALS, graceMs = DEFAULT_SHUTDOWN_GRACE_MS, close = [] } = given;
  checkDurationMs("runUntilSignal: graceMs", graceMs);
  checkSignal("runUntilSignal: signal", given.signal);
  return { signals: checkSignals(signals), graceMs, close: checkAll(close), signal: given.signal };
}

function checkSignals(signals: readonly ShutdownSignal[]): readonly ShutdownSignal[] {
  const valid = Array.isArray(signals) && signals.length > 0 &&
    signals.every((signal) => KNOWN_SIGNALS.includes(signal));
  if (valid) return [...new Set(signals)];
  const known = KNOWN_SIGNALS.join(", ");
  throw new TypeError(`runUntilSignal: signals must be an array of some of ${known}`);
}

function checkAll(close: readonly Closeable[]): readonly Closeable[] {
  if (!Array.isArray(close)) {
    throw new TypeError(`runUntilSignal: close must be an array, got ${describe(close)}`);
  }
  for (const [index, resource] of close.entries()) {
    if (closerOf(resource) !== undefined) continue;
    const got = describe(resource);
    throw new TypeError(`runUntilSignal: close[${index}] must have a method close, got ${got}`);
  }
  return [...close];
}

function closerOf(resource: unknown): (() => unknown) | undefined {
  const object = resource as Record<string | symbol, unknown> | null | undefined;
  const keys = ["close", Symbol.asyncDispose, Symbol.dispose];
  const key = keys.find((key) => typeof object?.[key] === "function");
  return key === undefined ? undefined : () => (object?.[key] as () => unknown).call(object);
}

async function closeOne(resource: Closeable): Promise<void> {
  await closerOf(resource)?.();
}

function throwAll(failures: readonly unknown[]): void {
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, "the program failed while ending");
}

/** Listens for the wish to end, from its making until it is released. */
class Shutdown {
  requestedBy: ShutdownSignal | undefined;
  #requestedAt = 0;
  readonly #settings: Settings;
  readonly #controller = new AbortController();
  readonly #onSignal = (name: NodeJS.Signals) => this.#request(name as ShutdownSignal);
  readonly #onAbort = () => this.#controller.abort(this.#settings.signal?.reason);
  /** Work that waits for nothing but its signal would otherwise let the process end. */
  readonly #keepAlive = setInterval(() => {}, MAX_TIMER_MS);

  constructor(settings: Settings) {
    this.#settings = settings;
    for (const name of settings.signals) process.on(name, this.#onSignal);
    settings.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for the work, but no longer than the grace once an end is wished; returns failures. */
  async await(what: string, work: () => Promise<unknown>): Promise<unknown[]> {
    const grace = this.#graceTimer();
    const timeout = grace.over.then(() => [this.#overdue(what)]);
    const done = work().then(() => [], (error) => this.#isExpected(error) ? [] : [error]);
    try {
      return await Promise.race([done, timeout]);
    } finally {
      grace.cancel();
    }
  }

  release(): void {
    for (const name of this.#settings.signals) process.off(name, this.#onSignal);
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    clearInterval(this.#keepAlive);
  }

  #request(name: ShutdownSignal): void {
    if (this.requestedBy !== undefined) {
      if (name === this.requestedBy && performance.now() - this.#requestedAt < REPEAT_MS) return;
      logger.warn("{signal} came again: ending at once", { signal: name });
      process.exit(128 + (constants.signals[name] ?? 0));
    }
    this.requestedBy = name;
    this.#requestedAt = performance.now();
    const { graceMs } = this.#settings;
    logger.info("{signal}: ending within {graceMs} ms", { signal: name, graceMs });
    this.#controller.abort(new ShutdownError(name));
  }

  /** Resolves when the grace has passed since the wish to end, or since now if that was before. */
  #graceTimer(): { over: Promise<void>; cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => timer = setTimeout(resolve, this.#settings.graceMs);
    const { signal } = this;
    if (signal.aborted) start();
    else signal.addEventListener("abort", start, { once: true });
    const cancel = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", start);
    };
    return { over: promise, cancel };
  }

  #isExpected(error: unknown): boolean {
    if (!this.signal.aborted) return false;
    return error === this.signal.reason || (error instanceof Error && error.name === "AbortError");
  }

  #overdue(what: string): JsflowError {
    const { graceMs } = this.#settings;
    return new JsflowError(
      "timeout",
      `cannot ${what}: still not done ${graceMs} ms after the program was asked to end; ` +
        "watch the signal, or raise graceMs",
    );
  }
}
