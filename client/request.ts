import { endFailed } from "./_end_failed.ts";
import { isWorthRetry } from "./_error_headers.ts";
import { RequestCall } from "./_request_call.ts";
import { openRequest } from "./_request_inbox.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import { systemClock } from "./clock.ts";
import type { ClientCore } from "./core.ts";
import { isReason } from "./deadline.ts";
import type { BoundEndpoint } from "./endpoint.ts";
import type { MessageHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { Reply } from "./reply.ts";
import { retryDelayMs, type RetryPolicy, validateRetryPolicy } from "./retry_policy.ts";

/**
 * How a request is made. Each attempt has its `timeoutMs` for the answer, and for the connection
 * before that.
 */
export interface RequestOptions extends CallOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Tries again when nobody listened, no answer came in time, or the service said that its error is
   * transient. After a time-out the service may have done the work: ask for retries only where doing
   * it twice is harmless. The number of attempts must be finite.
   *
   * @default one attempt
   */
  readonly retry?: RetryPolicy | undefined;
}

/** As `Messaging.request` says. */
export async function request<Req, Res>(
  core: ClientCore,
  endpoint: BoundEndpoint<Req, Res>,
  value: Req,
  options?: RequestOptions,
): Promise<Res> {
  return (await requestMessage(core, endpoint, value, options)).value;
}

/** As `Messaging.requestMessage` says. */
export async function requestMessage<Req, Res>(
  core: ClientCore,
  endpoint: BoundEndpoint<Req, Res>,
  value: Req,
  options?: RequestOptions,
): Promise<Reply<Res>> {
  const bounds = checkCall(core, "request", options, ["headers", "retry"]);
  const { headers, retry } = options ?? {};
  const { signal } = bounds;
  if (retry !== undefined) checkRetry(retry);
  const call = new RequestCall(core, endpoint, { value, headers });
  signal?.throwIfAborted();
  if (retry === undefined) return await attempt(core, call, bounds);
  for (let failedAttempts = 1;; failedAttempts++) {
    try {
      return await attempt(core, call, bounds);
    } catch (error) {
      if (isReason(error, signal) || !isWorthRetry(error)) throw error;
      const delayMs = retryDelayMs(retry, failedAttempts, Math.random);
      if (delayMs === undefined) throw error;
      await systemClock.sleep(delayMs, signal);
    }
  }
}

function checkRetry(retry: RetryPolicy): void {
  validateRetryPolicy("request: retry", retry);
  if ("attempts" in retry && retry.attempts === Infinity) {
    throw new RangeError("request: retry.attempts must be finite: somebody waits for the answer");
  }
}

async function attempt<Req, Res>(
  core: ClientCore,
  call: RequestCall<Req, Res>,
  bounds: CallBounds,
): Promise<Reply<Res>> {
  const operation = call.begin();
  try {
    const headers = call.headers(operation);
    const message = await core.guard(call.what, { ...bounds, bytes: call.bytes }, (signal) => {
      const { subject, payload } = call;
      return exchange(core, { subject, payload, headers }, signal);
    });
    const reply = call.read(message);
    operation.end();
    return reply;
  } catch (error) {
    endFailed(operation, error);
    throw error;
  }
}

interface OutgoingRequest {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly headers: ReturnType<RequestCall<unknown, unknown>["headers"]>;
}

function exchange(
  core: ClientCore,
  outgoing: OutgoingRequest,
  signal: AbortSignal,
): Promise<NatsMessage> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      close();
      reject(signal.reason);
    };
    const ended = <A>(settle: (result: A) => void) => (result: A): void => {
      signal.removeEventListener("abort", abort);
      close();
      settle(result);
    };
    const close = openRequest(core, {
      ...outgoing,
      onReply: ended(resolve),
      onFailure: ended(reject),
    });
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}
