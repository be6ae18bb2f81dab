import { createInbox } from "@nats-io/nats-core";
import type { NatsConnection } from "./native.ts";

/**
 * Makes the name of an inbox. Users may be allowed to subscribe below a prefix of their own only,
 * which the connection was opened with.
 */
export function newInbox(connection: NatsConnection): string {
  const { options } = connection as { options?: { inboxPrefix?: string } };
  return createInbox(options?.inboxPrefix);
}
