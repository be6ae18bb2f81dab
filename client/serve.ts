import { filterName, splitHandler } from "./_address.ts";
import { parseHandlerOptions } from "./_handler_options.ts";
import { RequestReception } from "./_handler_service.ts";
import { HandlerSubscription } from "./_handler_subscription.ts";
import type { ClientCore } from "./core.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ServiceContext } from "./service_context.ts";
import type { Subscription } from "./subscription.ts";
import { checkFunction } from "./validate.ts";

const DEFAULT_CONCURRENCY = 32;
const DEFAULT_MAX_PENDING = 256;
const DEFAULT_QUEUE = "jsflow";

/** Answers one request: what it returns is the reply, what it throws is the error. */
export type ServiceHandler<Req, Res, K extends string = never> = (
  request: Req,
  context: ServiceContext<K>,
) => Res | Promise<Res>;

/** How a service handles requests. */
export interface ServeOptions<K extends string = never> {
  /**
   * The queue group: of all services with the same endpoint and queue, one gets the request.
   * `false` has each of them get it, and answer.
   *
   * @default "jsflow"
   */
  readonly queue?: string | false | undefined;
  /** Most handlers at work at a time. @default 32 */
  readonly concurrency?: number | undefined;
  /** Most requests that wait for a handler; what comes on top is refused as `busy`. @default 256 */
  readonly maxPending?: number | undefined;
  /** Most bytes of requests that wait for a handler. @default 67108864 */
  readonly maxPendingBytes?: number | undefined;
  /**
   * Milliseconds that a handler has until its requester is told `timeout` and its signal aborts;
   * `heartbeat()` starts them anew. The handler keeps its place until it ends.
   *
   * @default 30000
   */
  readonly timeoutMs?: number | undefined;
  /** Told of everything that made an answer an error, with what the requester is not told. */
  readonly onError?: ((error: unknown, context: ServiceContext<K>) => void) | undefined;
  /** Unsubscribes when it aborts, and aborts the handlers' signals with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A service with its handlers; ends as a {@link Subscription} does, and answers what it drops. */
export type Service = Subscription;

/** As `Messaging.serve` says. */
export function serve<Req, Res, K extends string>(
  core: ClientCore,
  endpoint: Endpoint<Req, Res, K>,
  handler: ServiceHandler<Req, Res, K>,
): Promise<Service>;
/** Answers the requests to an endpoint, with options. */
export function serve<Req, Res, K extends string>(
  core: ClientCore,
  endpoint: Endpoint<Req, Res, K>,
  options: ServeOptions<K> | undefined,
  handler: ServiceHandler<Req, Res, K>,
): Promise<Service>;
export async function serve<Req, Res, K extends string>(
  core: ClientCore,
  endpoint: Endpoint<Req, Res, K>,
  ...given: [ServiceHandler<Req, Res, K>] | [
    ServeOptions<K> | undefined,
    ServiceHandler<Req, Res, K>,
  ]
): Promise<Service> {
  const filter = filterName("serve", endpoint);
  const { options, handler } = splitHandler("serve", given);
  const settings = parseHandlerOptions("serve", options, {
    defaults: {
      queue: DEFAULT_QUEUE,
      concurrency: DEFAULT_CONCURRENCY,
      maxPending: DEFAULT_MAX_PENDING,
    },
    otherKeys: ["onError"],
  });
  const { onError } = options ?? {};
  if (onError !== undefined) checkFunction("serve: onError", onError);
  const { queue } = settings;
  const reception = new RequestReception({ core, endpoint, handler, onError, queue });
  return await HandlerSubscription.open(core, {
    kind: "service",
    filter,
    settings,
    handle: (message, call) => reception.handle(message, call),
    dropped: (message, why) => reception.refuse(message, why),
  });
}
