import type { Socket } from "node:net";
import type { Faults } from "./_proxy_faults.ts";

/** Bytes held for one direction of one connection before its sender is slowed down. */
const MAX_HELD_BYTES = 1024 * 1024;

/** Throttled bytes leave in pieces of about this duration. */
const PIECE_MS = 20;

interface Held {
  readonly bytes: Uint8Array;
  /** When it came in. */
  readonly atMs: number;
}

/** Passes bytes from one socket to another, with the faults of the moment. */
export class ProxyPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: Readonly<Faults>;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #hasLost = false;
  #hasEnded = false;
  #isBlocked = false;
  /** When a throttled connection may send again. */
  #freeAtMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;

  constructor(from: Socket, to: Socket, faults: Readonly<Faults>) {
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    from.on("data", (bytes: Uint8Array) => this.#take(bytes));
    from.once("end", () => {
      this.#hasEnded = true;
      this.#pump();
    });
    to.on("drain", () => {
      this.#isBlocked = false;
      this.#pump();
    });
    to.once("close", () => this.stop());
  }

  /** Whether bytes are missing in what came out. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  /** Looks at the faults again, after they changed. */
  update(): void {
    this.#freeAtMs = 0;
    this.#pump();
  }

  /** Passes nothing on any more. */
  stop(): void {
    this.#isStopped = true;
    this.#held.length = 0;
    clearTimeout(this.#timer);
  }

  #take(bytes: Uint8Array): void {
    if (this.#isStopped) return;
    if (this.#faults.drops) {
      this.#hasLost = true;
      return;
    }
    this.#held.push({ bytes, atMs: performance.now() });
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= MAX_HELD_BYTES) this.#from.pause();
    this.#pump();
  }

  /** Sends what may be sent now, and sees to it that the rest follows. */
  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#isStopped && !this.#isBlocked && !this.#faults.stalls) {
      const next = this.#held[0];
      if (next === undefined) return this.#finish();
      const waitMs = Math.max(next.atMs + this.#faults.delayMs, this.#freeAtMs) - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs));
        return;
      }
      this.#send(next);
    }
  }

  #send(next: Held): void {
    const { bytesPerSecond, drops } = this.#faults;
    const most = Math.max(1, Math.floor(bytesPerSecond * PIECE_MS / 1000));
    const piece = next.bytes.subarray(0, most); // everything, when the limit is infinite
    if (piece.length < next.bytes.length) {
      this.#held[0] = { bytes: next.bytes.subarray(piece.length), atMs: next.atMs };
    } else this.#held.shift();
    this.#heldBytes -= piece.length;
    if (this.#heldBytes < MAX_HELD_BYTES) this.#from.resume();
    this.#freeAtMs = performance.now() + piece.length * 1000 / bytesPerSecond;
    if (drops) this.#hasLost = true;
    else if (!this.#to.write(piece)) this.#isBlocked = true;
  }

  /** Everything is through: an orderly end follows, unless the network swallows it as well. */
  #finish(): void {
    if (this.#hasEnded && !this.#faults.drops) this.#to.end();
  }
}
