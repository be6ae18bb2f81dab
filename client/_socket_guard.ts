import { logger } from "./_logger.ts";
import type { NatsConnection } from "./native.ts";

/** What the guard needs of a socket. */
interface Emitter {
  listeners(event: string): unknown[];
  on(event: string, listener: (error: Error) => void): unknown;
  removeAllListeners(event?: string): unknown;
}

/** What the guard needs of a transport, besides its property `socket`. */
interface Transport {
  /** Writes what is left, then closes; the client reconnects once it is closed. */
  disconnect(): void;
  /** Closes at once; without effect when it is closed already. */
  close(): Promise<unknown>;
  closed(): Promise<unknown>;
}

/**
 * How long a connection that is given up may write what is left, in milliseconds. Nobody takes it
 * from one whose peer has gone, and on Deno an encrypted connection never says that nothing is left.
 */
const FAREWELL_MS = 1_000;

/**
 * Keeps a listener for errors on every socket that a connection uses, from now on, and sees to it
 * that a connection that is given up is closed in bounded time.
 *
 * The native client takes all listeners off a socket before it destroys it. When a write was pending
 * whose failure is told only after that, as on Deno, nobody listens, and the process ends. And it
 * waits without a bound until everything is written before it closes a connection to open the next.
 *
 * The transports of a later dial are guarded as soon as the native client has them; events would
 * tell of them too late. A connection that is built in another way is left as it is.
 */
export function guardSockets(connection: NatsConnection): void {
  const { protocol } = connection as { protocol?: Record<string, unknown> };
  const prepare = protocol?.["prepare"];
  if (protocol === undefined || typeof prepare !== "function") return passOver("the connection");
  // It makes the transport of the next dial. An accessor in place of the property would do as well,
  // but it makes every access to this much used object slower.
  protocol["prepare"] = (...args: unknown[]) => {
    const result = Reflect.apply(prepare, protocol, args);
    guardTransport(protocol["transport"]);
    return result;
  };
  guardTransport(protocol["transport"]);
}

function guardTransport(transport: unknown): void {
  if (!isTransport(transport)) return passOver("the transport");
  const held = Object.getOwnPropertyDescriptor(transport, "socket");
  if (held?.configurable !== true || held.writable !== true) return passOver("the transport");
  boundFarewell(transport);
  watchSocket(transport, held);
}

function boundFarewell(transport: Transport): void {
  const disconnect = transport.disconnect;
  transport.disconnect = () => {
    const timer = setTimeout(() => void transport.close(), FAREWELL_MS);
    transport.closed().then(() => clearTimeout(timer));
    Reflect.apply(disconnect, transport, []);
  };
}

/** A transport may change its socket on the way: plain first, then encrypted. */
function watchSocket(transport: Transport, held: PropertyDescriptor): void {
  let socket: unknown = held.value;
  Object.defineProperty(transport, "socket", {
    configurable: true,
    enumerable: held.enumerable === true,
    get: () => socket,
    set: (next: unknown) => {
      socket = next;
      guardSocket(next);
    },
  });
  guardSocket(socket);
}

function guardSocket(socket: unknown): void {
  if (socket === undefined || socket === null) return; // not open yet, or let go
  if (!isEmitter(socket)) return passOver("the socket");
  const removeAll = socket.removeAllListeners;
  socket.removeAllListeners = (...args: [event?: string]) => {
    const result = Reflect.apply(removeAll, socket, args);
    listen(socket);
    return result;
  };
  listen(socket);
}

function listen(socket: Emitter): void {
  if (!socket.listeners("error").includes(ignore)) socket.on("error", ignore);
}

/** Whoever uses the socket has a listener of its own; without one, nobody cares any more. */
function ignore(): void {}

function isEmitter(value: unknown): value is Emitter {
  const { listeners, on, removeAllListeners } = value as Partial<Emitter>;
  return [listeners, on, removeAllListeners].every((method) => typeof method === "function");
}

function isTransport(value: unknown): value is Transport {
  if (typeof value !== "object" || value === null) return false;
  const { close, closed, disconnect } = value as Partial<Transport>;
  return [close, closed, disconnect].every((method) => typeof method === "function");
}

/** Better unguarded than broken. */
function passOver(part: string): void {
  logger.debug("A connection is not guarded: {part} is built in an unknown way", { part });
}
