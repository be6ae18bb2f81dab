import type { Status } from "@nats-io/nats-core";
import { logger } from "./_logger.ts";
import { JsflowError } from "./errors.ts";
import type { NatsConnection } from "./native.ts";
import { stopStatus } from "./stop_status.ts";
import { translateError } from "./translate_error.ts";

/** What is told of a native connection. */
export interface LinkHandlers {
  /** It is lost; unless it is closed next, it is being reopened. */
  lost(server: string): void;
  /** An attempt to reopen it has failed. */
  attemptFailed(): void;
  /** It is back. */
  back(server: string): Promise<void>;
  /** The server complains, or a subscription is too slow. */
  failed(error: Error): void;
  /** The server is about to stop, or answers nothing any more. */
  warned(what: "lame_duck" | "stale", server: string): void;
  /** It is closed for good. */
  closed(cause: Error | undefined): void;
}

/** Whether there is a connection to a server at this moment, as far as the native client tells. */
export function isUp(connection: NatsConnection): boolean {
  return (connection as { protocol?: { connected?: boolean } }).protocol?.connected !== false;
}

/** Follows the events of a native connection, of any transport. */
export class Link {
  readonly connection: NatsConnection;
  readonly #handlers: LinkHandlers;
  readonly #events: AsyncIterable<Status>;
  readonly #watching: Promise<void>;
  #dials = 0;
  /** The application asked for a new connection: no failure. */
  #forced = false;

  constructor(connection: NatsConnection, handlers: LinkHandlers) {
    this.connection = connection;
    this.#handlers = handlers;
    this.#events = connection.status();
    this.#watching = this.#watch();
  }

  /** Stops following; resolves when nothing more will be told. */
  async detach(): Promise<void> {
    stopStatus(this.#events);
    await this.#watching;
  }

  async #watch(): Promise<void> {
    let isClosed = false;
    for await (const event of this.#events) {
      if (event.type === "close") isClosed = true;
      else await this.#tell(event).catch(complain); // whoever goes deaf here never recovers
    }
    if (isClosed) await this.#tellEnd().catch(complain);
  }

  async #tellEnd(): Promise<void> {
    const cause = await this.connection.closed();
    this.#handlers.closed(cause instanceof Error ? translateError(cause, "reconnect") : undefined);
  }

  async #tell(event: Status): Promise<void> {
    const handlers = this.#handlers;
    switch (event.type) {
      case "forceReconnect":
        this.#forced = true;
        return;
      case "disconnect":
        this.#dials = this.#forced ? -1 : 0;
        this.#forced = false;
        return handlers.lost(event.server);
      case "reconnecting":
        if (++this.#dials > 1) handlers.attemptFailed();
        return;
      case "reconnect":
        return await handlers.back(event.server);
      case "error":
        return handlers.failed(translateError(event.error, actionOf(event.error)));
      case "slowConsumer":
        return handlers.failed(tooSlow(event.sub.getSubject(), event.pending));
      case "ldm":
        return handlers.warned("lame_duck", event.server);
      case "staleConnection":
        return handlers.warned("stale", this.connection.getServer());
    }
  }
}

function complain(error: unknown): void {
  logger.error("An event of the connection could not be followed: {error}", { error });
}

/** What the server refused, as far as it says so. */
function actionOf(error: Error): string {
  const { operation, subject } = error as { operation?: unknown; subject?: unknown };
  if (typeof subject !== "string") return "use the connection";
  return operation === "subscription" ? `subscribe to ${subject}` : `publish to ${subject}`;
}

function tooSlow(subject: string, pending: number): JsflowError {
  return new JsflowError(
    "nats",
    `cannot keep up with ${subject}: ${pending} messages wait in this process; handle them faster, ` +
      "or share the work by a queue group",
  );
}
