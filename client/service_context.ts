import type { HandlerContext } from "./handler_context.ts";

/**
 * What the handler of a service is told besides the request.
 *
 * Once its signal aborts, the requester has its answer, and what the handler returns goes nowhere.
 */
export interface ServiceContext<K extends string = string> extends HandlerContext<K> {
  /**
   * Sets a header of the reply; several values under one name are allowed as an array.
   *
   * Headers travel with replies only, not with errors.
   *
   * @throws {TypeError | RangeError} when name or value are not allowed.
   */
  setHeader(name: string, value: string | readonly string[]): void;
}
