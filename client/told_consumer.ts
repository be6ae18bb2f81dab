import type { ConsumerInfo } from "@nats-io/jetstream";
import { JsflowError } from "./errors.ts";

/**
 * What a server has told of a consumer. Servers of the 2.9 line answer with nothing at all about one
 * that is just being deleted.
 *
 * @throws {JsflowError} `consumer_not_found` for such an answer.
 */
export function toldConsumer(info: ConsumerInfo): ConsumerInfo {
  if (Object.hasOwn(info, "config")) return info;
  throw new JsflowError("consumer_not_found", "cannot find the consumer: it is being deleted");
}
