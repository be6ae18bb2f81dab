import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { NatsConnection } from "./native.ts";
import { translateError } from "./translate_error.ts";

/** How long one request to confirm JetStream may take, whoever waits for it. */
const CONFIRM_TIMEOUT_MS = 5_000;

/** The JetStream manager of a client: JetStream is asked once, by one request for all callers. */
export class SharedManager {
  #manager: Promise<JetStreamManager> | undefined;
  #isConfirmed = false;

  /** The manager, once JetStream has answered. */
  get confirmed(): Promise<JetStreamManager> | undefined {
    return this.#isConfirmed ? this.#manager : undefined;
  }

  /** Returns the manager, after asking JetStream when that has not been done. */
  get(connection: NatsConnection): Promise<JetStreamManager> {
    this.#manager ??= this.#confirm(connection);
    return this.#manager;
  }

  async #confirm(connection: NatsConnection): Promise<JetStreamManager> {
    try {
      const manager = await jetstreamManager(connection, { timeout: CONFIRM_TIMEOUT_MS });
      this.#isConfirmed = true;
      return manager;
    } catch (error) {
      this.#manager = undefined; // the next call asks again
      throw explain(translateError(error, "reach JetStream"), connection);
    }
  }
}

/** No responders at all means "off" unless the server says that its JetStream is on. */
function explain(error: Error, connection: NatsConnection): Error {
  if (!isJsflowError(error, "jetstream_unavailable")) return error;
  if (connection.info === undefined || connection.info.jetstream) return error;
  return new JsflowError(
    "jetstream_disabled",
    "cannot reach JetStream: it is switched off on the server; start nats-server with -js, or " +
      "put a jetstream block into its configuration",
    { cause: error.cause },
  );
}
