import type { Socket } from "node:net";
import type { Direction, Faults } from "./_proxy_faults.ts";
import { ProxyPipe } from "./_proxy_pipe.ts";
import { resetSocket } from "./_reset_socket.ts";

/** A client's connection, the one to the target, and a pipe each way. */
export class ProxyLink {
  /** Resolves once both sockets are gone. */
  readonly closed: Promise<void>;
  readonly #sockets: readonly [Socket, Socket];
  readonly #pipes: readonly [ProxyPipe, ProxyPipe];

  constructor(client: Socket, upstream: Socket, faults: Readonly<Record<Direction, Faults>>) {
    this.#sockets = [client, upstream];
    this.#pipes = [
      new ProxyPipe(client, upstream, faults.toTarget),
      new ProxyPipe(upstream, client, faults.toClient),
    ];
    this.closed = Promise.all(this.#sockets.map((socket) => this.#watch(socket))).then(() => {});
  }

  /** Looks at the faults again, after they changed. */
  update(): void {
    for (const pipe of this.#pipes) pipe.update();
  }

  /** Goes on without faults, unless bytes are missing. */
  heal(): void {
    if (this.#pipes.some((pipe) => pipe.hasLost)) this.reset();
    else this.update();
  }

  /** Ends both connections by a reset, not by an orderly end. */
  reset(): void {
    for (const pipe of this.#pipes) pipe.stop();
    for (const socket of this.#sockets) resetSocket(socket);
  }

  /** A connection that fails takes its partner along; an orderly end travels through the pipe. */
  #watch(socket: Socket): Promise<void> {
    socket.on("error", () => this.reset());
    socket.setNoDelay(true);
    return new Promise((resolve) => {
      socket.once("close", () => {
        if (!socket.readableEnded) this.reset();
        resolve();
      });
    });
  }
}
