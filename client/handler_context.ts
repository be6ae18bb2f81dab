import type { ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { SubjectParams } from "./subject.ts";

/**
 * What every handler is told besides the value. `K` is the union of the subject's open tokens.
 */
export interface HandlerContext<K extends string = string> {
  /** The subject that the message was published to. */
  readonly subject: string;
  /** The values of the open tokens. */
  readonly params: SubjectParams<K>;
  /** The headers of the message. */
  readonly headers: ReadonlyHeaders;
  /** The native message. */
  readonly native: NatsMessage;
  /**
   * Aborts when the handler's deadline has passed, and when the subscription or service ends
   * without waiting any longer.
   */
  readonly signal: AbortSignal;
  /** Starts the handler's deadline anew; call it while long work makes progress. */
  heartbeat(): void;
}
