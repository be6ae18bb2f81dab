import type { Socket } from "node:net";
import process from "node:process";

/**
 * Ends a connection by a reset rather than by an orderly end, unless that is under way already.
 *
 * Node's own `resetAndDestroy` begins with an orderly end. When the other side fails before that is
 * done, its reset fails, tells of no close, and leaves a handle open on which the event loop spins
 * for good. The flag that it sets has the wanted effect on a plain `destroy`.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished;
  if (isEnding || socket.connecting) socket.destroy();
  else if (isNode()) Object.assign(socket, { resetAndClosing: true }).destroy();
  else socket.resetAndDestroy();
}

function isNode(): boolean {
  const { deno, bun } = process.versions;
  return deno === undefined && bun === undefined;
}
