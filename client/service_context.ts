import type { ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { SubjectParams } from "./subject.ts";

/** What the handler of a service is told besides the request. */
export interface ServiceContext<K extends string = string> {
  /** The subject that was requested. */
  readonly subject: string;
  /** The values of the open tokens. */
  readonly params: SubjectParams<K>;
  /** The headers of the request. */
  readonly headers: ReadonlyHeaders;
  /** The native message. */
  readonly message: NatsMessage;
  /**
   * Aborts when the handler's deadline has passed, and when the service ends without waiting any
   * longer. The requester has its answer then, and what the handler returns goes nowhere.
   */
  readonly signal: AbortSignal;
  /** Starts the handler's deadline anew; call it while long work makes progress. */
  heartbeat(): void;
  /**
   * Sets a header of the reply; several values under one name are allowed as an array.
   *
   * Headers travel with replies only, not with errors.
   *
   * @throws {TypeError | RangeError} when name or value are not allowed.
   */
  setHeader(name: string, value: string | readonly string[]): void;
}
