import type { HandlerContext } from "./handler_context.ts";
import type { MessageHeaders } from "./message_headers.ts";

/** What a reply may carry besides its payload. */
export interface ReplyOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
}

/** What the handler of a subscription is told besides the value. */
export interface MessageContext<K extends string = string> extends HandlerContext<K> {
  /**
   * Sends a reply to whoever asked for one, at most once.
   *
   * @throws {TypeError} when the message asks for no reply, or a header is not allowed.
   * @throws {JsflowError} `payload_too_large`, `not_connected` or `connection_closed`.
   */
  reply(payload: Uint8Array | string, options?: ReplyOptions): void;
}
