import { filterName, type Handled, splitHandler } from "./_address.ts";
import { parseHandlerOptions } from "./_handler_options.ts";
import { RequestReception } from "./_handler_service.ts";
import { HandlerSubscription } from "./_handler_subscription.ts";
import type { ClientCore } from "./core.ts";
import type { Endpoint } from "./endpoint.ts";
import {
  DEFAULT_SERVE_CONCURRENCY,
  DEFAULT_SERVE_MAX_WAITING,
  type HandlerOptions,
} from "./handler_options.ts";
import type { ServiceContext } from "./service_context.ts";
import type { Subscription } from "./subscription.ts";
import { checkFunction } from "./validate.ts";

/** The queue group of services, unless their options say otherwise. */
export const DEFAULT_SERVE_QUEUE: string = "jsflow";

/** Answers one request: what it returns is the reply, what it throws is the error. */
export type ServiceHandler<Req, Res, K extends string = never> = (
  request: Req,
  context: ServiceContext<K>,
) => Res | Promise<Res>;

/** How a service handles requests. */
export interface ServeOptions<K extends string = never> extends HandlerOptions {
  /**
   * The queue group: of all services with the same endpoint and queue, one gets the request.
   * `false` has each of them get it, and answer.
   *
   * @default {@link DEFAULT_SERVE_QUEUE}, "jsflow"
   */
  readonly queue?: string | false | undefined;
  /** Told of everything that made an answer an error, with what the requester is not told. */
  readonly onError?: ((error: unknown, context: ServiceContext<K>) => void) | undefined;
}

/** A service with its handlers; ends as a {@link Subscription} does, and answers what it drops. */
export type Service = Subscription;

/** As `Messaging.serve` says. */
export async function serve<Req, Res, K extends string>(
  core: ClientCore,
  endpoint: Endpoint<Req, Res, K>,
  ...given: Handled<ServeOptions<K>, ServiceHandler<Req, Res, K>>
): Promise<Service> {
  const filter = filterName("serve", endpoint);
  const [options, handler] = splitHandler("serve", given);
  const settings = parseHandlerOptions("serve", options, {
    defaults: {
      queue: DEFAULT_SERVE_QUEUE,
      concurrency: DEFAULT_SERVE_CONCURRENCY,
      maxWaiting: DEFAULT_SERVE_MAX_WAITING,
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
