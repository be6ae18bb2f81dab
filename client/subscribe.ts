import { decodeValue, filterName, splitHandler } from "./_address.ts";
import { callSafely } from "./_handler_callback.ts";
import type { CallOutcome, HandlerCall } from "./_handler_call.ts";
import { HandlerContext } from "./_handler_context.ts";
import { parseHandlerOptions } from "./_handler_options.ts";
import { HandlerSubscription } from "./_handler_subscription.ts";
import { logger } from "./_logger.ts";
import type { ClientCore } from "./core.ts";
import type { MessageContext } from "./message_context.ts";
import type { NatsMessage } from "./native.ts";
import type { Subject } from "./subject.ts";
import type { Subscription } from "./subscription.ts";
import { checkFunction } from "./validate.ts";

const DEFAULT_MAX_PENDING = 4_096;

/** Handles a value; the next one waits for its promise unless `concurrency` is above 1. */
export type MessageHandler<T, K extends string = never> = (
  value: T,
  context: MessageContext<K>,
) => void | Promise<void>;

/** How a subscription handles messages. */
export interface SubscribeOptions<K extends string = never> {
  /**
   * The queue group: of all subscriptions with the same subject and queue, one gets the message.
   *
   * @default none: every subscription gets every message
   */
  readonly queue?: string | undefined;
  /** Most handlers at work at a time; with 1, messages are handled in order. @default 1 */
  readonly concurrency?: number | undefined;
  /** Most messages that wait for a handler; what comes on top is dropped and counted. @default 4096 */
  readonly maxPending?: number | undefined;
  /** Most bytes of payload that wait for a handler. @default 67108864 */
  readonly maxPendingBytes?: number | undefined;
  /**
   * Milliseconds that a handler has until its signal aborts and the message counts as failed;
   * `heartbeat()` starts them anew. The handler keeps its place until it ends.
   *
   * @default 30000
   */
  readonly timeoutMs?: number | undefined;
  /** Told of messages that cannot be decoded, and of handlers that throw or take too long. */
  readonly onError?: ((error: unknown, context: MessageContext<K>) => void) | undefined;
  /** Unsubscribes when it aborts, and aborts the handlers' signals with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** As `Messaging.subscribe` says. */
export function subscribe<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  handler: MessageHandler<T, K>,
): Promise<Subscription>;
/** Calls a handler for every value that is published to a subject, with options. */
export function subscribe<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  options: SubscribeOptions<K> | undefined,
  handler: MessageHandler<T, K>,
): Promise<Subscription>;
export async function subscribe<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  ...given: [MessageHandler<T, K>] | [SubscribeOptions<K> | undefined, MessageHandler<T, K>]
): Promise<Subscription> {
  const filter = filterName("subscribe to", subject);
  const { options, handler } = splitHandler("subscribe", given);
  const settings = parseHandlerOptions("subscribe", options, {
    defaults: { queue: undefined, concurrency: 1, maxPending: DEFAULT_MAX_PENDING },
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
    const context = new HandlerContext<K>(message, { core, address: subject, call, operation });
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
