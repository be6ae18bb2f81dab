import { headers as nativeHeaders, type PublishOptions } from "@nats-io/nats-core";
import type { Operation } from "../trace/telemetry.ts";
import { type Address, checkSize } from "./_address.ts";
import { hasTraceRoom, injectTrace } from "./_outgoing_headers.ts";
import type { HandlerCall } from "./_handler_call.ts";
import type { ClientCore } from "./core.ts";
import type { MessageContext, ReplyOptions } from "./message_context.ts";
import { copyHeaders, headerBytes, readHeaders, type ReadonlyHeaders } from "./message_headers.ts";
import type { NatsHeaders, NatsMessage } from "./native.ts";
import type { SubjectParams } from "./subject.ts";
import { translateError } from "./translate_error.ts";
import { checkOptions, describe } from "./validate.ts";

const utf8 = new TextEncoder();

/** What a context reads from. */
export interface IncomingContextSource {
  readonly core: ClientCore;
  readonly address: Address;
  readonly call: HandlerCall;
  readonly operation: Operation;
}

/** What handlers of messages and of requests are told; nothing is made before it is asked for. */
export class IncomingContext<K extends string> implements MessageContext<K> {
  readonly native: NatsMessage;
  readonly #source: IncomingContextSource;
  #headers: ReadonlyHeaders | undefined;

  constructor(native: NatsMessage, source: IncomingContextSource) {
    this.native = native;
    this.#source = source;
  }

  get subject(): string {
    return this.native.subject;
  }

  get params(): SubjectParams<K> {
    return (this.#source.address.match(this.subject) ?? {}) as SubjectParams<K>;
  }

  get headers(): ReadonlyHeaders {
    return this.#headers ??= readHeaders(this.native.headers);
  }

  get signal(): AbortSignal {
    return this.#source.call.signal;
  }

  // Functions of their own, since handlers take contexts apart: `(value, { heartbeat }) => …`.
  get heartbeat(): () => void {
    return () => this.#source.call.heartbeat();
  }

  get reply(): MessageContext<K>["reply"] {
    return (payload, options) => this.#reply(payload, options);
  }

  #reply(payload: Uint8Array | string, options?: ReplyOptions): void {
    const { headers: given } = checkOptions("reply", options, ["headers"]);
    const { core, operation } = this.#source;
    if (!this.native.reply) {
      throw new TypeError(`cannot reply to a message on ${this.subject}: it asks for no reply`);
    }
    const headers = given === undefined ? undefined : copyHeaders("reply: headers", given);
    respond(this.native, bytesOf(payload), { core, operation, headers });
  }
}

/** How a reply is sent. */
export interface RespondOptions {
  readonly core: ClientCore;
  readonly operation: Operation;
  /** Belong to the reply alone: the trace context is added to them. */
  readonly headers: NatsHeaders | undefined;
}

/**
 * Sends a reply, if the message asks for one.
 *
 * @throws {JsflowError} `payload_too_large`, or as `ClientCore.checkLink` does.
 */
export function respond(message: NatsMessage, payload: Uint8Array, options: RespondOptions): void {
  const { core, operation } = options;
  if (!message.reply) return;
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload, options.headers);
  const headers = options.headers ?? (tracing ? nativeHeaders() : undefined);
  injectTrace(core, operation, { payload, headers });
  checkSize("reply", payload.length + headerBytes(headers), core.maxPayloadBytes);
  core.checkLink("reply"); // work under way waits neither for the breaker nor for newcomers
  const extra: PublishOptions = headers === undefined ? {} : { headers };
  try {
    core.connection.publish(message.reply, payload, extra);
  } catch (error) {
    throw translateError(error, "reply");
  }
}

function bytesOf(payload: unknown): Uint8Array {
  if (typeof payload === "string") return utf8.encode(payload);
  if (payload instanceof Uint8Array) return payload;
  throw new TypeError(`a reply must be a Uint8Array or a string, got ${describe(payload)}`);
}
