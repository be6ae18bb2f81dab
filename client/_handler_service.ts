import type { Operation } from "../trace/telemetry.ts";
import { decodeValue, encodeValue } from "./_address.ts";
import { errorHeaders, type ErrorReport, reportOf } from "./_error_headers.ts";
import { callSafely } from "./_handler_callback.ts";
import type { CallOutcome, HandlerCall } from "./_handler_call.ts";
import { IncomingContext, respond } from "./_handler_context.ts";
import type { DropReason } from "./_handler_runner.ts";
import { logger } from "./_logger.ts";
import type { ClientCore } from "./core.ts";
import type { Endpoint } from "./endpoint.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import { copyHeaders } from "./message_headers.ts";
import type { NatsHeaders, NatsMessage } from "./native.ts";
import type { ServiceContext } from "./service_context.ts";

const EMPTY = new Uint8Array();

/** What a service is made of. */
export interface RequestReceptionSource<Req, Res, K extends string> {
  readonly core: ClientCore;
  readonly endpoint: Endpoint<Req, Res, K>;
  readonly handler: (request: Req, context: ServiceContext<K>) => Res | Promise<Res>;
  readonly onError: ((error: unknown, context: ServiceContext<K>) => void) | undefined;
  readonly queue: string | undefined;
}

/** From a request to its answer: every one is answered once, in time. */
export class RequestReception<Req, Res, K extends string> {
  readonly #source: RequestReceptionSource<Req, Res, K>;

  constructor(source: RequestReceptionSource<Req, Res, K>) {
    this.#source = source;
  }

  async handle(message: NatsMessage, call: HandlerCall): Promise<void> {
    const { core, endpoint, handler } = this.#source;
    const operation = this.#begin(message);
    const context = new RequestContext<K>(message, { core, address: endpoint, call, operation });
    call.onSettled((outcome) => this.#settled(outcome, { message, context, operation }));
    const request = this.#decode(message);
    const value = await operation.run(() => handler(request, context));
    if (call.isOver) return; // it was answered with an error at the deadline
    const payload = encodeValue("reply", endpoint.reply, value);
    const headers = context.replyHeaders(endpoint.reply.contentType);
    respond(message, payload, { core, operation, headers });
  }

  /** There is no room for it, or the service ends: the requester may try another one at once. */
  refuse(message: NatsMessage, why: DropReason): void {
    const report: ErrorReport = why === "full"
      ? { errorClass: "transient", code: "busy", message: "the service has too much to do" }
      : { errorClass: "transient", code: "stopped", message: "the service is being stopped" };
    const operation = this.#begin(message);
    this.#answer(message, operation, report);
    operation.end(new JsflowError("buffer_full", `cannot serve a request: ${report.message}`));
  }

  #begin(message: NatsMessage): Operation {
    const { core, endpoint, queue } = this.#source;
    return core.telemetry.begin("serve", {
      destination: message.subject,
      template: endpoint.template,
      consumerGroup: queue,
      bodyBytes: message.data.length,
      parent: message.headers,
    });
  }

  #decode(message: NatsMessage): Req {
    const { filter, request } = this.#source.endpoint;
    try {
      return decodeValue(`serve a request to ${filter}`, request, message.data);
    } catch (error) {
      throw new UndecodableRequest(error);
    }
  }

  #settled(
    outcome: CallOutcome,
    served: {
      readonly message: NatsMessage;
      readonly context: ServiceContext<K>;
      readonly operation: Operation;
    },
  ): void {
    const { message, context, operation } = served;
    if (outcome.ok) return operation.end();
    const { core, endpoint, onError } = this.#source;
    const { filter, pattern } = endpoint;
    const isInvalid = outcome.error instanceof UndecodableRequest;
    const error = isInvalid ? outcome.error.cause : outcome.error;
    this.#answer(message, operation, isInvalid ? invalidReport(error) : reportOf(error));
    operation.end(error ?? new Error("thrown without a value"));
    core.telemetry.count("handlerErrors", 1, { "messaging.destination.template": pattern });
    logger.error("The service {subject} failed: {error}", { subject: filter, error });
    callSafely(() => onError?.(error, context), filter);
  }

  /** Never throws: a requester who gets no answer learns by its own deadline. */
  #answer(message: NatsMessage, operation: Operation, report: ErrorReport): void {
    const { core, endpoint } = this.#source;
    // A long message may not fit into what the server takes; the rest of the report does.
    for (const text of [report.message, ""]) {
      const headers = errorHeaders({ ...report, message: text });
      try {
        return respond(message, EMPTY, { core, operation, headers });
      } catch (error) {
        const subject = endpoint.filter;
        logger.warn("The service {subject} could not answer: {error}", { subject, error });
        if (!isJsflowError(error, "payload_too_large")) return;
      }
    }
  }
}

/** Marks an error of the codec, which is the requester's fault. */
class UndecodableRequest extends Error {
  constructor(cause: unknown) {
    super("the request cannot be decoded", { cause });
    this.name = "UndecodableRequest";
  }
}

/** What a codec says is about what the requester sent, and helps only there. */
function invalidReport(error: unknown): ErrorReport {
  const code = error instanceof JsflowError ? error.code : "decode_failed";
  const message = error instanceof JsflowError ? error.message : "the request cannot be decoded";
  return { errorClass: "invalid", code, message };
}

class RequestContext<K extends string> extends IncomingContext<K> implements ServiceContext<K> {
  readonly #headers = new Map<string, string | readonly string[]>();

  get setHeader(): ServiceContext<K>["setHeader"] {
    return (name, value) => {
      const values = typeof value === "string" ? value : [...value];
      copyHeaders("setHeader", [[name, values]]);
      this.#headers.set(name, values);
    };
  }

  /** The content type travels with replies that have headers anyway. */
  replyHeaders(contentType: string): NatsHeaders | undefined {
    if (this.#headers.size === 0) return undefined;
    const headers = copyHeaders("setHeader", this.#headers);
    if (!headers.keys().some((name) => name.toLowerCase() === "content-type")) {
      headers.set("Content-Type", contentType);
    }
    return headers;
  }
}
