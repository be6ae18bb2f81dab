import type { Operation } from "../trace/telemetry.ts";
import { checkSize, concreteName, decodeValue, encodeValue } from "./_address.ts";
import { remoteErrorOf } from "./_error_headers.ts";
import { hasTraceRoom, injectTrace, outgoingHeaders } from "./_outgoing_headers.ts";
import type { ClientCore } from "./core.ts";
import type { BoundEndpoint } from "./endpoint.ts";
import { headerBytes, type MessageHeaders, readHeaders } from "./message_headers.ts";
import type { NatsHeaders, NatsMessage } from "./native.ts";
import type { Reply } from "./reply.ts";

/** A request that is checked and encoded: it can be sent, and sent again. */
export class RequestCall<Req, Res> {
  readonly subject: string;
  readonly what: string;
  readonly payload: Uint8Array;
  readonly #core: ClientCore;
  readonly #endpoint: BoundEndpoint<Req, Res>;
  readonly #given: NatsHeaders | undefined;

  /** @throws {TypeError | RangeError | JsflowError} when it cannot be sent, before any I/O. */
  constructor(
    core: ClientCore,
    endpoint: BoundEndpoint<Req, Res>,
    content: { readonly value: Req; readonly headers: MessageHeaders | undefined },
  ) {
    this.subject = concreteName("request", endpoint);
    this.what = `request ${this.subject}`;
    this.#core = core;
    this.#endpoint = endpoint;
    this.payload = encodeValue(this.what, endpoint.request, content.value);
    this.#given = outgoingHeaders("request", endpoint.request.contentType, {
      headers: content.headers,
      tracing: false,
    });
    const bytes = this.payload.length + headerBytes(this.#given);
    checkSize(this.what, bytes, core.maxPayloadBytes);
  }

  /** Bytes that it holds while it waits for the connection. */
  get bytes(): number {
    return this.subject.length + this.payload.length + headerBytes(this.#given);
  }

  begin(): Operation {
    return this.#core.telemetry.begin("request", {
      destination: this.subject,
      template: this.#endpoint.template,
      bodyBytes: this.payload.length,
    });
  }

  /** Headers of one attempt, with the context of its span; the client changes them. */
  headers(operation: Operation): NatsHeaders | undefined {
    const core = this.#core;
    if (!core.telemetry.tracing || !hasTraceRoom(core, this.payload, this.#given)) {
      return this.#given;
    }
    const { contentType } = this.#endpoint.request;
    const headers = outgoingHeaders("request", contentType, {
      headers: this.#given,
      tracing: true,
    });
    injectTrace(core, operation, { payload: this.payload, headers });
    return headers;
  }

  /** @throws {RemoteError} when the service failed, or as the codec does. */
  read(message: NatsMessage): Reply<Res> {
    const error = remoteErrorOf(this.what, message.headers);
    if (error !== undefined) throw error;
    const value = decodeValue(
      `read the reply of ${this.subject}`,
      this.#endpoint.reply,
      message.data,
    );
    const headers = readHeaders(message.headers);
    return { value, subject: message.subject, headers, native: message };
  }
}
