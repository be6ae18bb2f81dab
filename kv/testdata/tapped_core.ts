/** A client's core whose requests a test may send elsewhere, or answer otherwise. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import type { ClientCore } from "../../client/core.ts";

/** What happens to requests on their way. */
export interface Tap {
  /** The subject that is asked instead. @default the same */
  readonly reroute?: (subject: string) => string;
  /** Answers, by sending the request on if need be. @default that is sent on */
  readonly answer?: (subject: string, send: () => Promise<Msg>) => Promise<Msg>;
}

/** The same core, but for the tap in its connection. */
export async function tappedCore(core: ClientCore, tap: Tap): Promise<ClientCore> {
  const { reroute = (subject) => subject, answer = (_subject, send) => send() } = tap;
  const whole = core.connection;
  const tapped: Pick<NatsConnection, "publish" | "request"> = {
    publish: (subject, ...rest) => whole.publish(reroute(subject), ...rest),
    request: (subject, ...rest) => answer(subject, () => whole.request(reroute(subject), ...rest)),
  };
  const connection = overlay(whole, tapped);
  const manager = await jetstreamManager(connection, { checkAPI: false });
  return overlay(core, { connection, manager: () => Promise.resolve(manager) });
}

/** An answer of the JetStream API, with changes. */
export function altered(message: Msg, alter: (answer: ApiAnswer) => void): Msg {
  const answer = message.json<ApiAnswer>();
  alter(answer);
  return overlay(message, { data: new TextEncoder().encode(JSON.stringify(answer)) });
}

/** What tests change of answers. */
export interface ApiAnswer {
  readonly state: { last_seq: number };
  readonly message: { seq: number };
}

function overlay<T extends object>(base: T, own: Partial<T>): T {
  return new Proxy(base, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
