import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { type Client, fromConnection } from "../../client/mod.ts";

/** What stands between a client and the wire; each may hold back, repeat or drop what is sent. */
export interface Tap {
  /** Every request: journal appends, summaries, reads. */
  readonly request?: (subject: string, send: () => Promise<Msg>) => Promise<Msg>;
  /** Every plain message: acks, heartbeats, replies. */
  readonly publish?: (subject: string, text: string, send: () => void) => void;
}

/** A client whose traffic goes through the tap, on a connection that stays the caller's. */
export async function tapClient(connection: NatsConnection, tap: Tap): Promise<Client> {
  return await fromConnection(tapConnection(connection, tap));
}

/** Whether a request appends to a journal. */
export function isAppend(subject: string): boolean {
  return /^jsflow\.[^.]+\.journal\./.test(subject);
}

/** Whether a request reads a message of a stream. */
export function isRead(subject: string): boolean {
  return subject.startsWith("$JS.API.STREAM.MSG.GET.");
}

/** Whether a request writes a summary. */
export function isSummary(subject: string): boolean {
  return /^\$KV\.JSFLOW_.*_STATE\./.test(subject);
}

function tapConnection(connection: NatsConnection, tap: Tap): NatsConnection {
  return new Proxy(connection, {
    get(target, name) {
      if (name === "request" && tap.request) return tappedRequest(target, tap.request);
      if (name === "publish" && tap.publish) return tappedPublish(target, tap.publish);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function tappedRequest(
  target: NatsConnection,
  request: NonNullable<Tap["request"]>,
): NatsConnection["request"] {
  return (subject, ...rest) => request(subject, () => target.request(subject, ...rest));
}

function tappedPublish(
  target: NatsConnection,
  publish: NonNullable<Tap["publish"]>,
): NatsConnection["publish"] {
  return (subject, payload, options) => {
    const text = payload === undefined || typeof payload === "string"
      ? payload ?? ""
      : new TextDecoder().decode(payload);
    publish(subject, text, () => target.publish(subject, payload, options));
  };
}
