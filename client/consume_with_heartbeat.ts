import { DEFAULT_CANCEL_DELAY_MS, DEFAULT_ERROR_DELAY_MS } from "./consume_options.ts";
import { untilAborted } from "./deadline.ts";
import { JsflowError } from "./errors.ts";
import { isPermanent } from "./permanent_error.ts";
import { translateError } from "./translate_error.ts";
import {
  checkDurationMs,
  checkFunction,
  checkObject,
  checkOptions,
  checkSignal,
} from "./validate.ts";

/** The settling methods of a native JetStream message, a `JsMsg`. */
export interface NativeStreamMessage {
  /** It is done. */
  ack(): void;
  /** Deliver it again, after a delay in milliseconds. */
  nak(delayMs?: number): void;
  /** Never deliver it again. */
  term(reason?: string): void;
  /** It is worked on. */
  working(): void;
}

/** The settling methods of a `StreamMessage`. */
export interface HeartbeatMessage {
  /** It is done. */
  ack(): void;
  /** Deliver it again, after a delay in milliseconds. */
  nak(options?: { readonly delayMs?: number | undefined }): void;
  /** Never deliver it again. */
  term(reason?: string): void;
  /** It is worked on. */
  heartbeat(): void;
}

/** How {@link consumeWithHeartbeat} keeps and settles a message. */
export interface HeartbeatOptions {
  /**
   * Milliseconds between two signs of life; well below the consumer's ack wait.
   * @default {@link DEFAULT_HEARTBEAT_MS}, 10 seconds, for an ack wait of 30 seconds
   */
  readonly heartbeatMs?: number | undefined;
  /**
   * Milliseconds until the next delivery after the work failed.
   * @default {@link DEFAULT_ERROR_DELAY_MS}, 30 seconds
   */
  readonly errorDelayMs?: number | undefined;
  /**
   * Milliseconds until the next delivery after the signal has aborted.
   * @default {@link DEFAULT_CANCEL_DELAY_MS}, 5 seconds
   */
  readonly cancelDelayMs?: number | undefined;
  /**
   * Tells errors that no further delivery can help.
   * @default a `PermanentError`, a code `terminal`, or a property `permanent` that is true
   */
  readonly isPermanent?: ((error: unknown) => boolean) | undefined;
  /** Cancels the work. */
  readonly signal?: AbortSignal | undefined;
}

/** Time between two signs of life, in milliseconds. */
export const DEFAULT_HEARTBEAT_MS: number = 10_000;

/**
 * Works on a message for as long as that takes, and settles it: with a short ack wait, crashes are
 * noticed soon, and long work is not mistaken for one.
 *
 * The message is acknowledged when `work` succeeds, whose result is returned. When it fails, the
 * message is delivered again after `errorDelayMs`, or never when the error is permanent. When
 * `signal` aborts, the work's own signal does, and the message is delivered again after
 * `cancelDelayMs`. When a sign of life can't be sent, the work's signal aborts as well, and the
 * message is left to the server; a native message does not tell. Nobody else may settle it.
 *
 * @throws {TypeError | RangeError} for a message or options that make no sense.
 * @throws {JsflowError} when a sign of life or the settlement can't be sent.
 * @throws what `work` throws, or the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { consumeWithHeartbeat } from "@x/jsflow/client";
 * import type { JsMsg } from "@nats-io/jetstream";
 *
 * async function handle(message: JsMsg): Promise<void> {
 *   await consumeWithHeartbeat(message, async (signal) => {
 *     await fetch("https://example.com/slow", { signal });
 *   }, { heartbeatMs: 1_000 });
 * }
 * console.log(handle);
 * ```
 */
export async function consumeWithHeartbeat<R>(
  message: NativeStreamMessage | HeartbeatMessage,
  work: (signal: AbortSignal) => R | PromiseLike<R>,
  options?: HeartbeatOptions,
): Promise<R> {
  const target = settling(message);
  checkFunction("consumeWithHeartbeat: work", work);
  const settings = parse(options);
  const { signal } = settings;
  const keeper = new Keeper(target.beat, settings.heartbeatMs);
  const cancel = () => keeper.abort(signal?.reason);
  if (signal?.aborted) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });
  let result: R;
  try {
    result = await keeper.keep(work);
  } catch (error) {
    if (keeper.failure !== undefined) throw keeper.failure;
    settle(() => {
      if (keeper.signal.aborted) target.nak(settings.cancelDelayMs);
      else if (settings.isPermanent(error)) target.term();
      else target.nak(settings.errorDelayMs);
    });
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
  settle(target.ack);
  return result;
}

/** What is done to a message, whichever kind it is. */
interface Settling {
  ack(): void;
  nak(delayMs: number): void;
  term(): void;
  beat(): void;
}

function settling(message: NativeStreamMessage | HeartbeatMessage): Settling {
  checkObject("consumeWithHeartbeat: message", message);
  if ("heartbeat" in message) {
    for (const method of ["ack", "nak", "term", "heartbeat"] as const) check(message, method);
    return {
      ack: () => message.ack(),
      nak: (delayMs) => message.nak({ delayMs }),
      term: () => message.term(),
      beat: () => message.heartbeat(),
    };
  }
  for (const method of ["ack", "nak", "term", "working"] as const) check(message, method);
  return {
    ack: () => message.ack(),
    nak: (delayMs) => message.nak(delayMs),
    // An older server would take a reason for a request to deliver it again.
    term: () => message.term(),
    beat: () => message.working(),
  };
}

function check<M extends object>(message: M, method: keyof M & string): void {
  checkFunction(`consumeWithHeartbeat: message.${method}`, message[method]);
}

function parse(options: HeartbeatOptions | undefined) {
  const what = "consumeWithHeartbeat";
  const given: HeartbeatOptions = checkOptions(what, options, [
    "heartbeatMs",
    "errorDelayMs",
    "cancelDelayMs",
    "isPermanent",
    "signal",
  ]);
  const {
    heartbeatMs = DEFAULT_HEARTBEAT_MS,
    errorDelayMs = DEFAULT_ERROR_DELAY_MS,
    cancelDelayMs = DEFAULT_CANCEL_DELAY_MS,
  } = given;
  return {
    heartbeatMs: checkDurationMs(`${what}: heartbeatMs`, heartbeatMs, { min: 10 }),
    errorDelayMs: checkDurationMs(`${what}: errorDelayMs`, errorDelayMs),
    cancelDelayMs: checkDurationMs(`${what}: cancelDelayMs`, cancelDelayMs),
    isPermanent: checkFunction<(error: unknown) => boolean>(
      `${what}: isPermanent`,
      given.isPermanent ?? isPermanent,
    ),
    signal: checkSignal(`${what}: signal`, given.signal),
  };
}

function settle(send: () => void): void {
  try {
    send();
  } catch (error) {
    throw translateError(error, "settle the message");
  }
}

/** Sends signs of life while work goes on. */
class Keeper {
  /** Why a sign of life could not be sent. */
  failure: Error | undefined;
  readonly #controller = new AbortController();
  readonly #beat: () => void;
  readonly #everyMs: number;

  constructor(beat: () => void, everyMs: number) {
    this.#beat = beat;
    this.#everyMs = everyMs;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  async keep<R>(work: (signal: AbortSignal) => R | PromiseLike<R>): Promise<R> {
    this.signal.throwIfAborted();
    const timer = setInterval(() => this.#send(), this.#everyMs);
    try {
      return await untilAborted(Promise.resolve(work(this.signal)), this.signal);
    } finally {
      clearInterval(timer);
    }
  }

  #send(): void {
    try {
      this.#beat();
    } catch (error) {
      const cause = translateError(error, "send a heartbeat for the message");
      this.failure = cause instanceof JsflowError ? cause : new JsflowError(
        "nats",
        `cannot send a heartbeat for the message: ${cause.message}; it will be delivered again`,
        { cause },
      );
      this.abort(this.failure);
    }
  }
}
