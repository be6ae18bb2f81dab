import { callSafely } from "./_handler_callback.ts";
import { ReplyQueue } from "./_reply_queue.ts";
import { RequestCall } from "./_request_call.ts";
import { openRequest } from "./_request_inbox.ts";
import type { Operation } from "../trace/telemetry.ts";
import type { ClientCore } from "./core.ts";
import type { BoundEndpoint } from "./endpoint.ts";
import type { MessageHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { Reply } from "./reply.ts";
import {
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOptions,
  checkSignal,
} from "./validate.ts";

const DEFAULT_MAX_PENDING = 1_024;

/** How a request to many is made, and when it has enough. */
export interface RequestManyOptions {
  /** Ends after this many replies, failed ones included. @default no bound */
  readonly maxReplies?: number | undefined;
  /** Ends when no further reply comes for this many milliseconds. @default no bound */
  readonly stallMs?: number | undefined;
  /** Ends after this many milliseconds. @default the client's requestTimeoutMs */
  readonly timeoutMs?: number | undefined;
  /** Most replies that wait to be read; one more is an error. @default 1024 */
  readonly maxPending?: number | undefined;
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Told of replies that are errors or can't be decoded; the others go on coming. Without it, such a
   * reply ends the iteration with its error.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Gives up with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
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
  readonly maxReplies: number;
  readonly stallMs: number | undefined;
  readonly timeoutMs: number;
  readonly maxPending: number;
  readonly headers: MessageHeaders | undefined;
  readonly onError: ((error: unknown) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

function parseOptions(core: ClientCore, options: RequestManyOptions | undefined): Settings {
  const what = "requestMany";
  const known: RequestManyOptions = checkOptions(what, options, [
    "headers",
    "maxPending",
    "maxReplies",
    "onError",
    "signal",
    "stallMs",
    "timeoutMs",
  ]);
  const { headers, maxReplies, onError, signal, stallMs } = known;
  const { maxPending = DEFAULT_MAX_PENDING, timeoutMs = core.requestTimeoutMs } = known;
  if (maxReplies !== undefined) checkInteger(`${what}: maxReplies`, maxReplies, { min: 1 });
  if (stallMs !== undefined) checkDurationMs(`${what}: stallMs`, stallMs, { min: 1 });
  if (onError !== undefined) checkFunction(`${what}: onError`, onError);
  checkSignal(`${what}: signal`, signal);
  return {
    headers,
    onError,
    signal,
    stallMs,
    maxReplies: maxReplies ?? Infinity,
    maxPending: checkInteger(`${what}: maxPending`, maxPending, { min: 1 }),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
  };
}

async function* collect<Req, Res>(
  core: ClientCore,
  call: RequestCall<Req, Res>,
  settings: Settings,
): AsyncGenerator<Reply<Res>, void, void> {
  const { signal, timeoutMs, onError } = settings;
  signal?.throwIfAborted();
  const operation = call.begin();
  let replies: Replies | undefined;
  try {
    const startedAt = performance.now();
    await core.ready(call.what, { signal, timeoutMs, bytes: call.bytes });
    const leftMs = Math.max(1, timeoutMs - (performance.now() - startedAt));
    replies = new Replies(core, { call, operation, settings, leftMs });
    for (;;) {
      const message = await replies.next();
      if (message === undefined) break;
      const reply = readReply(call, message, onError);
      if (reply !== undefined) yield reply;
    }
    operation.end();
  } catch (error) {
    operation.end(error ?? new Error("aborted without a reason"));
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
    this.#queue = new ReplyQueue(settings.maxPending);
    this.#closeRequest = openRequest(core, {
      subject,
      payload,
      headers: call.headers(operation),
      onReply: (message) => this.#take(message),
      onFailure: (error) => this.end(error),
    });
    this.#timer = setTimeout(() => this.end(), leftMs);
    settings.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (settings.signal?.aborted) this.#onAbort();
  }

  /** @throws the signal's reason when it has aborted; replies that wait are not read then. */
  async next(): Promise<NatsMessage | undefined> {
    this.#settings.signal?.throwIfAborted();
    const message = await this.#queue.next();
    this.#settings.signal?.throwIfAborted();
    return message;
  }

  /** No reply is taken any more. Leaves nothing open, since what waits may never be read. */
  end(error?: Error): void {
    this.#queue.end(error);
    clearTimeout(this.#timer);
    clearTimeout(this.#stall);
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
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
