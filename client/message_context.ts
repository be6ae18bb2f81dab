import type { MessageHeaders, ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { SubjectParams } from "./subject.ts";

/** What a reply may carry besides its payload. */
export interface ReplyOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
}

/** What a handler is told besides the value. `K` is the union of the subject's open tokens. */
export interface MessageContext<K extends string = string> {
  /** The subject that the message was published to. */
  readonly subject: string;
  /** The values of the open tokens. */
  readonly params: SubjectParams<K>;
  /** The headers of the message. */
  readonly headers: ReadonlyHeaders;
  /** The native message. */
  readonly message: NatsMessage;
  /**
   * Aborts when the handler's deadline has passed, and when the subscription ends without waiting
   * any longer.
   */
  readonly signal: AbortSignal;
  /** Starts the handler's deadline anew; call it while long work makes progress. */
  heartbeat(): void;
  /**
   * Sends a reply to whoever asked for one, at most once.
   *
   * @throws {TypeError} when the message asks for no reply, or a header is not allowed.
   * @throws {JsflowError} `payload_too_large`, `not_connected` or `connection_closed`.
   */
  reply(payload: Uint8Array | string, options?: ReplyOptions): void;
}
