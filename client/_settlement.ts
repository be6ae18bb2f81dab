import { clearImmediate, setImmediate } from "node:timers";
import { backoffAt, type EffectiveConfig } from "./_consumer_config.ts";
import type { ConsumerProgress } from "./_consumer_progress.ts";
import { serverOf } from "./_stream_api.ts";
import type { CallBounds } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { isReason, timeoutError, withDeadline } from "./deadline.ts";
import type { StreamDelivery } from "./delivery.ts";
import { JsflowError } from "./errors.ts";
import { translateError } from "./translate_error.ts";

/** How a message was settled; `"lost"` is one that its stream took along, of which nothing is sent. */
export type Settlement = "ack" | "lost" | "nak" | "term";

/** A message, as far as settling goes. */
export interface Settleable {
  readonly delivery: StreamDelivery;
  settlement: Settlement | undefined;
  /** An ack that waits for its confirmation; never rejects. */
  confirming: Promise<void> | undefined;
}

/** What a desk is made of. */
export interface SettlementDeskOptions<M extends Settleable> {
  readonly core: ClientCore;
  readonly progress: ConsumerProgress;
  readonly confirmAcks: boolean;
  readonly effective: EffectiveConfig;
  /** Told what could not be sent or was not confirmed. */
  readonly onError: (error: unknown, message: M) => void;
}

/** Settles the messages of one consumer, each once, and counts them. */
export class SettlementDesk<M extends Settleable> {
  readonly counts = { acked: 0, naked: 0, termed: 0 };
  readonly #options: SettlementDeskOptions<M>;
  /** Acknowledged in this turn of the event loop, and not sent yet. */
  #unsent: M[] = [];
  #flush: ReturnType<typeof setImmediate> | undefined;
  /** How the consumer at the server works; it may be another after it was made again. */
  effective: EffectiveConfig;

  constructor(options: SettlementDeskOptions<M>) {
    this.#options = options;
    this.effective = options.effective;
  }

  ack(message: M): void {
    if (message.settlement !== undefined) return;
    if (this.#options.confirmAcks && this.effective.ackPolicy !== "none") {
      const { core } = this.#options;
      void this.ackConfirmed(message, { timeoutMs: core.requestTimeoutMs })
        .catch((error) => this.#options.onError(error, message));
      return;
    }
    message.settlement = "ack";
    this.#acknowledged(message);
    if (this.effective.ackPolicy === "none") return;
    // Handlers that end one after another would cost a write to the socket each.
    this.#unsent.push(message);
    this.#flush ??= setImmediate(() => this.flush());
  }

  /** Sends the acks that wait for the end of this turn of the event loop. */
  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#unsent.length === 0) return;
    const messages = this.#unsent;
    this.#unsent = [];
    for (const message of messages) this.#send(message, (delivery) => delivery.ack());
  }

  /** Asks for another delivery: after `delayMs`, or as the consumer's backoff says, or at once. */
  nak(message: M, delayMs?: number): void {
    if (message.settlement !== undefined) return;
    const { backoffMs, maxDeliver } = this.effective;
    const { deliveryCount, streamSeq } = message.delivery;
    const delay = delayMs ?? backoffAt(backoffMs, deliveryCount) ?? 0;
    this.#settle(message, "nak", (delivery) => delivery.nak(delay));
    this.counts.naked++;
    // The server gives it up: it must not hold back where a consumer made again would begin.
    if (maxDeliver > 0 && deliveryCount >= maxDeliver) this.#options.progress.settled(streamSeq);
  }

  term(message: M, reason?: string): void {
    if (message.settlement !== undefined) return;
    const { core, progress } = this.#options;
    const known = reason !== undefined && isTermReasonKnown(core);
    this.#settle(message, "term", (delivery) => delivery.term(known ? reason : undefined));
    this.counts.termed++;
    progress.settled(message.delivery.streamSeq);
  }

  /** Acknowledges and waits for the server's word. */
  async ackConfirmed(message: M, bounds: CallBounds): Promise<void> {
    if (message.settlement === "lost") throw lostError(message.delivery, "acknowledge");
    if (message.settlement !== undefined) return await message.confirming;
    message.settlement = "ack";
    if (this.effective.ackPolicy === "none") return;
    const confirmed = this.#confirm(message, bounds);
    message.confirming = confirmed.catch(() => {});
    await confirmed;
  }

  /**
   * The stream was made again: what these messages' acks would settle are others now, with the same
   * numbers. Nothing is sent for them any more, nor for what was acknowledged and not sent yet.
   *
   * What left before this was known can't be called back: an ack that reaches the new stream before
   * its consumer has delivered that number settles nothing, a later one does.
   */
  disown(messages: Iterable<M>): void {
    this.#unsent = [];
    for (const message of messages) message.settlement = "lost";
  }

  /** Tells the server that the message is worked on. @throws {JsflowError} when it can't be sent */
  working(message: M): void {
    if (message.settlement !== undefined || this.effective.ackPolicy === "none") return;
    try {
      message.delivery.working();
    } catch (error) {
      const { stream, streamSeq } = message.delivery;
      throw translateError(error, `send a heartbeat for message ${streamSeq} of ${stream}`);
    }
  }

  #acknowledged(message: M): void {
    this.counts.acked++;
    const { progress } = this.#options;
    const { streamSeq } = message.delivery;
    if (this.effective.ackPolicy === "all") progress.settledUpTo(streamSeq);
    else progress.settled(streamSeq);
  }

  async #confirm(message: M, bounds: CallBounds): Promise<void> {
    const { signal, timeoutMs } = bounds;
    const { delivery } = message;
    const what = `acknowledge message ${delivery.streamSeq} of ${delivery.stream}`;
    const onTimeout = () => timeoutError(what, timeoutMs);
    try {
      await withDeadline(
        { signal, timeoutMs, onTimeout },
        () => delivery.ackConfirmed(timeoutMs),
      );
    } catch (error) {
      if (isReason(error, signal)) throw error;
      throw translateError(error, what);
    }
    // Whatever the server confirmed, it was not this message.
    if (message.settlement === "lost") throw lostError(delivery, "acknowledge");
    this.#acknowledged(message);
  }

  #settle(message: M, settlement: Settlement, send: (delivery: StreamDelivery) => void): void {
    message.settlement = settlement;
    this.flush(); // in the order in which they were settled
    if (this.effective.ackPolicy !== "none") this.#send(message, send);
  }

  #send(message: M, send: (delivery: StreamDelivery) => void): void {
    try {
      send(message.delivery);
    } catch (error) {
      const { stream, streamSeq } = message.delivery;
      const what = `settle message ${streamSeq} of ${stream}`;
      this.#options.onError(translateError(error, what), message);
    }
  }
}

/** Says that a message is gone with its stream; `verb` is what can't be done with it. */
export function lostError({ stream, streamSeq }: StreamDelivery, verb: string): JsflowError {
  return new JsflowError(
    "message_not_found",
    `cannot ${verb} message ${streamSeq} of ${stream}: the stream was deleted and made again, ` +
      "and the message is gone with it",
  );
}

/** What the server's advisory says of an error: one line; never throws, whatever was thrown. */
export function termReasonOf(error: unknown): string {
  try {
    const text = error instanceof Error ? error.message : String(error);
    return text.replace(/\s+/g, " ").slice(0, 256);
  } catch {
    return "the handler failed with a value that can't be shown";
  }
}

/** An older server takes `+TERM reason` for something else, and delivers the message again. */
function isTermReasonKnown(core: ClientCore): boolean {
  if (core.connection.info === undefined) return false;
  return serverOf(core).supports("term_reason");
}
