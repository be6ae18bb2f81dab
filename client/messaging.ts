import type { BoundEndpoint, Endpoint } from "./endpoint.ts";
import type { PublishOptions } from "./publish.ts";
import type { Reply } from "./reply.ts";
import type { RequestOptions } from "./request.ts";
import type { RequestManyOptions } from "./request_many.ts";
import type { ServeOptions, Service, ServiceHandler } from "./serve.ts";
import type { BoundSubject, Subject } from "./subject.ts";
import type { MessageHandler, SubscribeOptions } from "./subscribe.ts";
import type { Subscription } from "./subscription.ts";

/** What a client does with messages that are not stored. */
export interface Messaging {
  /**
   * Publishes a value at most once: whoever subscribes at the moment gets it, nobody confirms it.
   *
   * Resolves when the message was handed to the connection; messages of one client arrive in the
   * order of the calls. While the connection is down, the call waits within the client's bounded
   * buffer or fails, as the client's options say. The content type travels with messages that have
   * headers anyway, unless they say another. For a confirmed publish, publish to a stream.
   *
   * @throws {TypeError | RangeError} for a subject, header or option that makes no sense, before any
   * I/O.
   * @throws {JsflowError} `encode_failed`, `invalid_payload` or `payload_too_large` before any I/O;
   * `not_connected`, `connection_timeout`, `circuit_open`, `buffer_full` or `connection_closed`.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect, json, subject } from "@x/jsflow/client";
   *
   * const Orders = subject("orders.{region}", json<{ id: string }>());
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   try {
   *     await client.publish(Orders.with({ region: "eu" }), { id: "o-1" }, {
   *       headers: { "Shop": "s-7" },
   *     });
   *   } finally {
   *     await client.close();
   *   }
   * }
   * console.log(main);
   * ```
   */
  publish<T>(subject: BoundSubject<T>, value: T, options?: PublishOptions): Promise<void>;
  /**
   * Calls a handler for every value that is published to a subject from now on, at most once each.
   *
   * Resolves when the server has confirmed the subscription: what is published after that arrives.
   * Messages are handled in the order of arrival, one at a time by default. What can't be decoded and
   * what handlers throw is logged, counted and told to `onError`; it never ends the subscription. When
   * handlers are slower than what arrives, a bounded number of messages waits, and the rest is dropped:
   * `stats.dropped` counts them, and the client tells of it.
   *
   * @throws {TypeError | RangeError} for an option that makes no sense, before any I/O.
   * @throws {JsflowError} `permission_denied`, `timeout`, `not_connected`, `circuit_open` or
   * `connection_closed`.
   * @throws the signal's reason when it aborts before.
   *
   * @example
   * ```ts
   * import { connect, json, subject } from "@x/jsflow/client";
   *
   * const Orders = subject("orders.{region}", json<{ id: string }>());
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   const orders = await client.subscribe(Orders, { concurrency: 4 }, (order, { params }) => {
   *     console.log(order.id, params.region);
   *   });
   *   await orders.drain({ graceMs: 5_000 });
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  subscribe<T, K extends string>(
    subject: Subject<T, K>,
    handler: MessageHandler<T, K>,
  ): Promise<Subscription>;
  /** Calls a handler for every value that is published to a subject, with options. */
  subscribe<T, K extends string>(
    subject: Subject<T, K>,
    options: SubscribeOptions<K> | undefined,
    handler: MessageHandler<T, K>,
  ): Promise<Subscription>;
  /**
   * Sends a request and returns the value of the first reply.
   *
   * Whether the service did its work is known only when it answered. When the connection is lost while
   * the request is under way, it fails at once.
   *
   * @throws {TypeError | RangeError} for an endpoint, header or option that makes no sense, before any
   * I/O.
   * @throws {RemoteError} when the service failed; `errorClass` says whether a retry may help.
   * @throws {JsflowError} `encode_failed`, `invalid_payload` or `payload_too_large` before any I/O;
   * `no_responders`, `timeout`, `permission_denied`; `decode_failed` or `invalid_payload` for a reply
   * that is not what the endpoint says; `not_connected`, `circuit_open`, `buffer_full` or
   * `connection_closed`.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect, endpoint, json } from "@x/jsflow/client";
   *
   * const Quote = endpoint("quote.{symbol}", {
   *   request: json<{ size: number }>(),
   *   reply: json<{ px: number }>(),
   * });
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   const { px } = await client.request(Quote.with({ symbol: "X" }), { size: 1 }, {
   *     timeoutMs: 500,
   *     retry: { attempts: 3 },
   *   });
   *   console.log(px);
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  request<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestOptions,
  ): Promise<Res>;
  /**
   * Sends a request and returns the first reply with its headers; otherwise as `request` does.
   *
   * @throws as `request` does.
   *
   * @example
   * ```ts
   * import { bytes, connect, endpoint } from "@x/jsflow/client";
   *
   * const Time = endpoint("time", { request: bytes(), reply: bytes() });
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   const reply = await client.requestMessage(Time, new Uint8Array());
   *   console.log(reply.headers.get("Zone"), reply.value);
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  requestMessage<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestOptions,
  ): Promise<Reply<Res>>;
  /**
   * Sends one request, and yields the replies of all who answer.
   *
   * The request is sent when the iteration begins, once for each iteration. It ends normally after
   * `maxReplies`, a stall, or the time-out. Leaving the loop by `break` or a throw ends the wait.
   *
   * @throws {TypeError | RangeError | JsflowError} at the call, as `request` does before any I/O.
   * @throws {JsflowError} in the iteration: `no_responders` when nobody listens, `buffer_full` when
   * the loop is too slow, `not_connected` when the connection is lost, `permission_denied`,
   * `connection_closed`.
   * @throws {RemoteError} in the iteration for a failed reply, unless `onError` takes it.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect, endpoint, json } from "@x/jsflow/client";
   *
   * const Who = endpoint("who", { request: json<null>(), reply: json<{ name: string }>() });
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   for await (const { value } of client.requestMany(Who, null, { stallMs: 200 })) {
   *     console.log(value.name);
   *   }
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  requestMany<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestManyOptions,
  ): AsyncIterable<Reply<Res>>;
  /**
   * Answers the requests to an endpoint.
   *
   * Resolves when the server has confirmed the subscription. Every request is answered once: with the
   * handler's value, or with an error in the headers and an empty body, which raises a `RemoteError`
   * at the requester. The error has a class:
   *
   * - `invalid` when the request can't be decoded or its schema rejects it;
   * - `transient` when the handler passes its deadline (`timeout`), when there is no room (`busy`), or
   *   when the service ends before the handler does;
   * - what a thrown `ServiceError` says, code and message included;
   * - `transient` for a `JsflowError` that a moment later may be gone: not connected, no responders, a
   *   time-out, a conflict; or for a transient error of a service that the handler asked;
   * - `fatal` for everything else, a reply that can't be encoded or is too large included.
   *
   * Of errors that are no `ServiceError`, message, stack and cause stay on this side: they are logged,
   * and told to `onError`. Clients of NATS services elsewhere find `Nats-Service-Error` and
   * `Nats-Service-Error-Code` (400, 500 or 503).
   *
   * @throws {TypeError | RangeError} for an option that makes no sense, before any I/O.
   * @throws {JsflowError} `permission_denied`, `timeout`, `not_connected`, `circuit_open` or
   * `connection_closed`.
   * @throws the signal's reason when it aborts before.
   *
   * @example
   * ```ts
   * import { connect, endpoint, json } from "@x/jsflow/client";
   *
   * const Quote = endpoint("quote.{symbol}", {
   *   request: json<{ size: number }>(),
   *   reply: json<{ px: number }>(),
   * });
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   const service = await client.serve(Quote, ({ size }, { params }) => {
   *     return { px: params.symbol.length * size };
   *   });
   *   console.log(await client.request(Quote.with({ symbol: "X" }), { size: 2 })); // { px: 2 }
   *   await service.drain();
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  serve<Req, Res, K extends string>(
    endpoint: Endpoint<Req, Res, K>,
    handler: ServiceHandler<Req, Res, K>,
  ): Promise<Service>;
  /** Answers the requests to an endpoint, with options. */
  serve<Req, Res, K extends string>(
    endpoint: Endpoint<Req, Res, K>,
    options: ServeOptions<K> | undefined,
    handler: ServiceHandler<Req, Res, K>,
  ): Promise<Service>;
}
