import { endFailed } from "./_end_failed.ts";
import { callSafely } from "./_handler_callback.ts";
import { ReplyQueue } from "./_reply_queue.ts";
import { RequestCall } from "./_request_call.ts";
import { openRequest } from "./_request_inbox.ts";
import type { Operation } from "../trace/telemetry.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import type { BoundEndpoint } from "./endpoint.ts";
import type { MessageHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { Reply } from "./reply.ts";
import { checkDurationMs, checkFunction, checkInteger } from "./validate.ts";

/** Replies of a request to many that wait to be read, unless its options say otherwise. */
export const DEFAULT_MAX_WAITING_REPLIES: number = 1_024;

/**
 * How a request to many is made, and when it has enough. It ends after `timeoutMs`, which is no
 * error.
 */
export interface RequestManyOptions extends CallOptions {
  /** Ends after this many replies, failed ones included. @default no bound */
  readonly maxReplies?: number | undefined;
  /** Ends when no further reply comes for this many milliseconds. @default no bound */
  readonly stallMs?: number | undefined;
  /**
   * Most replies that wait to be read; one more is an error.
   *
   * @default {@link DEFAULT_MAX_WAITING_REPLIES}, 1,024
   */
  readonly maxWaiting?: number | undefined;
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Told of replies that are errors or can't be decoded; the others go on coming. Without it, such a
   * reply ends the iteration with its error.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** As `Messaging.requestMany` says. */
export function requestMany<Req, Res>(
  core: ClientCore,
  endpoint: BoundEndpoint<Req, Res>,
  value: Req,
  options?: RequestManyOptions,
): AsyncIterable<Reply<Res>> {
  const settings = parseOptions(core, options);
  const call = new RequestCall(core, endpoint, { value, headers: settings.headers });
  return { [Symbol.asyncIterator]: () => collect(core, call, settings) };
}

interface Settings {
  readonly bounds: CallBounds;
  readonly maxReplies: number;
  readonly stallMs: number | undefined;
  readonly maxWaiting: number;
  readonly headers: MessageHeaders | undefined;
  readonly onError: ((error: unknown) => void) | undefined;
}

function parseOptions(core: ClientCore, options: RequestManyOptions | undefined): Settings {
  const what = "requestMany";
  const bounds = checkCall(core, what, options, [
    "headers",
    "maxReplies",
    "maxWaiting",
    "onError",
    "stallMs",
  ]);
  const { headers, maxReplies, onError, stallMs } = options ?? {};
  const { maxWaiting = DEFAULT_MAX_WAITING_REPLIES } = options ?? {};
  if (maxReplies !== undefined) checkInteger(`${what}: maxReplies`, maxReplies, { min: 1 });
  if (stallMs !== undefined) checkDurationMs(`${what}: stallMs`, stallMs, { min: 1 });
  if (onError !== undefined) checkFunction(`${what}: onError`, onError);
  return {
    bounds,
    headers,
    onError,
    stallMs,
    maxReplies: maxReplies ?? Infinity,
    maxWaiting: checkInteger(`${what}: maxWaiting`, maxWaiting, { min: 1 }),
  };
}

async function* collect<Req, Res>(
  core: ClientCore,
  call: RequestCall<Req, Res>,
  settings: Settings,
): AsyncGenerator<Reply<Res>, void, void> {
  const { bounds, onError } = settings;
  bounds.signal?.throwIfAborted();
  const operation = call.begin();
  let replies: Replies | undefined;
  try {
    const startedAt = performance.now();
    await core.ready(call.what, { ...bounds, bytes: call.bytes });
    const leftMs = Math.max(1, bounds.timeoutMs - (performance.now() - startedAt));
    replies = new Replies(core, { call, operation, settings, leftMs });
    for (;;) {
      const message = await replies.next();
      if (message === undefined) break;
      const reply = readReply(call, message, onError);
      if (reply !== undefined) yield reply;
    }
    operation.end();
  } catch (error) {
    endFailed(operation, error);
    throw error;
  } finally {
    replies?.end();
    operation.end(); // left by break
  }
}

/** Returns undefined for a failed reply that `onError` has taken. */
function readReply<Req, Res>(
  call: RequestCall<Req, Res>,
  message: NatsMessage,
  onError: Settings["onError"],
): Reply<Res> | undefined {
  try {
    return call.read(message);
  } catch (error) {
    if (onError === undefined) throw error;
    callSafely(() => onError(error), call.subject);
    return undefined;
  }
}

interface RepliesSource {
  readonly call: Pick<RequestCall<unknown, unknown>, "headers" | "payload" | "subject">;
  readonly operation: Operation;
  readonly settings: Settings;
  readonly leftMs: number;
}

/** The replies to one request, until one of its bounds is reached. */
class Replies {
  readonly #settings: Settings;
  readonly #signal: AbortSignal | undefined;
  readonly #queue: ReplyQueue;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #closeRequest: () => void;
  readonly #onAbort = () => {
    this.#queue.clear();
    this.end();
  };
  #stall: ReturnType<typeof setTimeout> | undefined;
  #count = 0;

  constructor(core: ClientCore, source: RepliesSource) {
    const { call, operation, settings, leftMs } = source;
    const { subject, payload } = call;
    this.#settings = settings;
    const { signal } = settings.bounds;
    this.#signal = signal;
    this.#queue = new ReplyQueue(settings.maxWaiting);
    this.#closeRequest = openRequest(core, {
      subject,
      payload,
      headers: call.headers(operation),
      onReply: (message) => this.#take(message),
      onFailure: (error) => this.end(error),
    });
    this.#timer = setTimeout(() => this.end(), leftMs);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
  }

  /** @throws the signal's reason when it has aborted; replies that wait are not read then. */
  async next(): Promise<NatsMessage | undefined> {
    this.#signal?.throwIfAborted();
    const message = await this.#queue.next();
    this.#signal?.throwIfAborted();
    return message;
  }

  /** No reply is taken any more. Leaves nothing open, since what waits may never be read. */
  end(error?: Error): void {
    this.#queue.end(error);
    clearTimeout(this.#timer);
    clearTimeout(this.#stall);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#closeRequest();
  }

  #take(message: NatsMessage): void {
    const { maxReplies, stallMs } = this.#settings;
    this.#queue.push(message);
    if (++this.#count >= maxReplies || this.#queue.isEnded) return this.end();
    if (stallMs === undefined) return;
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.end(), stallMs);
  }
}
