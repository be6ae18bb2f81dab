import type { ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";

/** The answer to a request. */
export interface Reply<T> {
  /** The value. */
  readonly value: T;
  /** The headers that came with it. */
  readonly headers: ReadonlyHeaders;
  /** The subject that it came on: an inbox of the requester. */
  readonly subject: string;
  /** The native message. */
  readonly native: NatsMessage;
}
