import { decodeValue, filterName, type Handled, splitHandler } from "./_address.ts";
import { callSafely } from "./_handler_callback.ts";
import type { CallOutcome, HandlerCall } from "./_handler_call.ts";
import { IncomingContext } from "./_handler_context.ts";
import { parseHandlerOptions } from "./_handler_options.ts";
import { HandlerSubscription } from "./_handler_subscription.ts";
import { logger } from "./_logger.ts";
import type { ClientCore } from "./core.ts";
import {
  DEFAULT_CONCURRENCY,
  DEFAULT_MAX_WAITING,
  type HandlerOptions,
} from "./handler_options.ts";
import type { MessageContext } from "./message_context.ts";
import type { NatsMessage } from "./native.ts";
import type { Subject } from "./subject.ts";
import type { Subscription } from "./subscription.ts";
import { checkFunction } from "./validate.ts";

/** Handles a value; the next one waits for its promise unless `concurrency` is above 1. */
export type MessageHandler<T, K extends string = never> = (
  value: T,
  context: MessageContext<K>,
) => void | Promise<void>;

/** How a subscription handles messages. */
export interface SubscribeOptions<K extends string = never> extends HandlerOptions {
  /**
   * The queue group: of all subscriptions with the same subject and queue, one gets the message.
   *
   * @default none: every subscription gets every message
   */
  readonly queue?: string | undefined;
  /** Told of messages that cannot be decoded, and of handlers that throw or take too long. */
  readonly onError?: ((error: unknown, context: MessageContext<K>) => void) | undefined;
}

/** As `Messaging.subscribe` says. */
export async function subscribe<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  ...given: Handled<SubscribeOptions<K>, MessageHandler<T, K>>
): Promise<Subscription> {
  const filter = filterName("subscribe to", subject);
  const [options, handler] = splitHandler("subscribe", given);
  const settings = parseHandlerOptions("subscribe", options, {
    defaults: {
      queue: undefined,
      concurrency: DEFAULT_CONCURRENCY,
      maxWaiting: DEFAULT_MAX_WAITING,
    },
    otherKeys: ["onError"],
  });
  const { onError } = options ?? {};
  if (onError !== undefined) checkFunction("subscribe: onError", onError);
  const reception = new Reception({ core, subject, handler, onError, queue: settings.queue });
  return await HandlerSubscription.open(core, {
    kind: "subscription",
    filter,
    settings,
    handle: (message, call) => reception.handle(message, call),
    dropped: () => {}, // counted and reported by the subscription
  });
}

interface ReceptionSource<T, K extends string> {
  readonly core: ClientCore;
  readonly subject: Subject<T, K>;
  readonly handler: MessageHandler<T, K>;
  readonly onError: SubscribeOptions<K>["onError"];
  readonly queue: string | undefined;
}

/** From a message to the end of its handler. */
class Reception<T, K extends string> {
  readonly #source: ReceptionSource<T, K>;
  readonly #what: string;

  constructor(source: ReceptionSource<T, K>) {
    this.#source = source;
    this.#what = `handle a message on ${source.subject.filter}`;
  }

  handle(message: NatsMessage, call: HandlerCall): void | Promise<void> {
    const { core, subject, handler, queue } = this.#source;
    const operation = core.telemetry.begin("process", {
      destination: message.subject,
      template: subject.template,
      consumerGroup: queue,
      bodyBytes: message.data.length,
      parent: message.headers,
    });
    const context = new IncomingContext<K>(message, { core, address: subject, call, operation });
    call.onSettled((outcome) => {
      operation.end(outcome.ok ? undefined : outcome.error ?? new Error("thrown without a value"));
      this.#settled(outcome, context);
    });
    const value = decodeValue(this.#what, subject.codec, message.data);
    return operation.run(() => handler(value, context));
  }

  #settled(outcome: CallOutcome, context: MessageContext<K>): void {
    if (outcome.ok) return;
    const { core, subject, onError } = this.#source;
    const { error } = outcome;
    core.telemetry.count("handlerErrors", 1, {
      "messaging.destination.template": subject.template,
    });
    logger.error("The handler of {subject} failed: {error}", { subject: subject.filter, error });
    callSafely(() => onError?.(error, context), subject.filter);
  }
}
