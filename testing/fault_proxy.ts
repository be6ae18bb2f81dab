import { connect, createServer, type Server, type Socket } from "node:net";
import { checkDurationMs, checkInteger, checkOptions, checkString } from "../client/validate.ts";
import { ProxyLink } from "./_proxy_link.ts";
import { type Direction, type Faults, noFaults } from "./_proxy_faults.ts";
import { resetSocket } from "./_reset_socket.ts";

/** Where a {@link FaultProxy} passes its connections on to. */
export interface ProxyTarget {
  /** Host name or address. @default "127.0.0.1" */
  readonly host?: string | undefined;
  /** TCP port. */
  readonly port: number;
}

/** How {@link FaultProxy.start} starts a proxy. */
export interface FaultProxyOptions {
  /** Where to; without one, connections wait until `setTarget`. */
  readonly target?: ProxyTarget | undefined;
  /** The port to listen on, on 127.0.0.1; 0 takes a free one. @default 0 */
  readonly port?: number | undefined;
}

/** Which half of the traffic a fault is for. */
export interface FaultOptions {
  /**
   * `"toTarget"` is what clients send, `"toClient"` is what they get. @default "both"
   */
  readonly direction?: Direction | "both" | undefined;
}

/**
 * A TCP proxy on 127.0.0.1 that injects faults into the connections that pass through it.
 *
 * Faults apply to connections that are open and to those that come, until they are set otherwise
 * or `heal` takes them all back. About 1 MiB is held for each connection and direction; when
 * more comes, the sender is slowed down by TCP itself.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow";
 * import { FaultProxy, NatsServer } from "@x/jsflow/testing";
 *
 * async function test(server: NatsServer) {
 *   const proxy = await FaultProxy.start({ target: { port: server.port } });
 *   try {
 *     const client = await connect({ servers: proxy.url });
 *     proxy.delay(50, { direction: "toClient" });
 *     proxy.cut(); // every connection is reset, new ones are turned away
 *     proxy.heal(); // the client reconnects
 *     await client.close();
 *   } finally {
 *     await proxy.close();
 *   }
 * }
 * ```
 */
export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #links = new Set<ProxyLink>();
  /** Not passed on yet, for want of a target. */
  readonly #waiting = new Set<Socket>();
  /** Never to be passed on. */
  readonly #swallowed = new Set<Socket>();
  readonly #faults: Record<Direction, Faults> = { toTarget: noFaults(), toClient: noFaults() };
  #target: Required<ProxyTarget> | undefined;
  #isCut = false;
  #isHalfOpen = false;
  #port = 0;
  #closing: Promise<void> | undefined;

  private constructor(target: Required<ProxyTarget> | undefined) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /**
   * Starts a proxy and waits until it listens.
   *
   * @throws {TypeError | RangeError} for an option that makes no sense
   * @throws {Error} when the port is taken
   */
  static async start(options?: FaultProxyOptions): Promise<FaultProxy> {
    const given = checkOptions("FaultProxy.start", options, ["target", "port"]);
    const port = checkInteger("port", given.port ?? 0, { max: 65_535 });
    const proxy = new FaultProxy(
      given.target === undefined ? undefined : parseTarget(given.target),
    );
    await proxy.#listen(port);
    return proxy;
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#port;
  }

  /** Its address for NATS clients, such as `nats://127.0.0.1:41234`. */
  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** How many connections pass through it at the moment. */
  get connections(): number {
    return this.#links.size;
  }

  /** Whether `cut` is in force. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /**
   * Changes where new connections go, and lets those go on that waited for a target.
   *
   * @throws {TypeError | RangeError} when it is no target
   */
  setTarget(target: ProxyTarget): void {
    this.#target = parseTarget(target);
    for (const socket of this.#waiting) this.#link(socket, this.#target);
    this.#waiting.clear();
  }

  /** Lets everything arrive `ms` milliseconds later, at most 1 MiB in that time; 0 ends it. */
  delay(ms: number, options?: FaultOptions): void {
    checkDurationMs("ms", ms);
    this.#set(options, (faults) => faults.delayMs = ms);
  }

  /**
   * Lets bytes vanish: the sender notices nothing and the receiver gets nothing. A connection that
   * lost bytes is reset by `heal`, since what would follow makes no sense without them.
   */
  drop(options?: FaultOptions): void {
    this.#set(options, (faults) => faults.drops = true);
  }

  /**
   * Holds bytes back until `heal`, as a network does that is down for a while: nothing is lost, and
   * senders are stopped once the buffers are full.
   */
  stall(options?: FaultOptions): void {
    this.#set(options, (faults) => faults.stalls = true);
  }

  /**
   * Limits the throughput of each connection; `Infinity` ends it.
   *
   * @throws {RangeError} when it is not at least 1 byte a second
   */
  throttle(bytesPerSecond: number, options?: FaultOptions): void {
    if (typeof bytesPerSecond !== "number") throw new TypeError("bytesPerSecond must be a number");
    if (!(bytesPerSecond >= 1)) {
      throw new RangeError(`bytesPerSecond must be at least 1, got ${bytesPerSecond}`);
    }
    this.#set(options, (faults) => faults.bytesPerSecond = bytesPerSecond);
  }

  /** Resets every connection, and every new one at once. */
  cut(): void {
    this.#isCut = true;
    this.reset();
  }

  /** Resets every connection, but lets new ones in. */
  reset(): void {
    for (const link of this.#links) link.reset();
    for (const socket of [...this.#waiting, ...this.#swallowed]) resetSocket(socket);
  }

  /**
   * Accepts new connections but swallows what they send and answers nothing, like a host behind a
   * firewall; open connections lose everything, too.
   */
  halfOpen(): void {
    this.#isHalfOpen = true;
    this.drop();
  }

  /**
   * Ends all faults. Connections that lost bytes, or were never passed on, are reset; those that
   * were delayed or stalled get what was held back.
   */
  heal(): void {
    this.#isCut = false;
    this.#isHalfOpen = false;
    Object.assign(this.#faults.toTarget, noFaults());
    Object.assign(this.#faults.toClient, noFaults());
    for (const link of this.#links) link.heal();
    for (const socket of this.#swallowed) resetSocket(socket);
  }

  /** Ends all connections and stops listening. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #listen(port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(port, "127.0.0.1", resolve);
    await promise;
    this.#server.off("error", reject);
    const address = this.#server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : port;
    this.#server.unref(); // a forgotten proxy must not keep the process alive
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {}); // its end is what matters
    if (this.#isCut || this.#closing !== undefined) resetSocket(socket);
    else if (this.#isHalfOpen) this.#keep(socket, this.#swallowed).resume();
    else if (this.#target === undefined) this.#keep(socket, this.#waiting);
    else this.#link(socket, this.#target);
  }

  #keep(socket: Socket, set: Set<Socket>): Socket {
    set.add(socket);
    socket.once("close", () => set.delete(socket));
    return socket;
  }

  #link(client: Socket, target: Required<ProxyTarget>): void {
    const upstream = connect({ ...target, allowHalfOpen: true });
    const link = new ProxyLink(client, upstream, this.#faults);
    this.#links.add(link);
    link.closed.then(() => this.#links.delete(link));
  }

  #set(options: FaultOptions | undefined, change: (faults: Faults) => void): void {
    const { direction = "both" } = checkOptions("fault", options, ["direction"]);
    if (!["toTarget", "toClient", "both"].includes(direction)) {
      throw new TypeError(
        `direction must be "toTarget", "toClient" or "both", got ${JSON.stringify(direction)}`,
      );
    }
    if (direction !== "toClient") change(this.#faults.toTarget);
    if (direction !== "toTarget") change(this.#faults.toClient);
    for (const link of this.#links) link.update();
  }

  async #close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    const links = [...this.#links];
    this.reset();
    await Promise.all(links.map((link) => link.closed));
    await promise;
  }
}

function parseTarget(target: ProxyTarget): Required<ProxyTarget> {
  checkOptions("target", target, ["host", "port"]);
  return {
    host: checkString("target.host", target.host ?? "127.0.0.1"),
    port: checkInteger("target.port", target.port, { min: 1, max: 65_535 }),
  };
}
