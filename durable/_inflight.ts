import type { Clock } from "../client/clock.ts";
import type { Delivery } from "../client/delivery.ts";
import type { Execution } from "./execution.ts";

/** A command that this worker holds: settled by the newest of its deliveries. */
export class Inflight {
  delivery: Delivery;
  /** Set while the command's invocation runs here. */
  execution: Execution | undefined;
  #unblock: (() => void) | undefined;
  readonly #clock: Clock;
  readonly #ackWaitMs: number;
  #heardAt: number;
  #heardAtWall: number;

  /** `unblock` lets the reader ask for another command in the place of this one. */
  constructor(delivery: Delivery, clock: Clock, ackWaitMs: number, unblock: () => void) {
    this.delivery = delivery;
    this.#unblock = unblock;
    this.#clock = clock;
    this.#ackWaitMs = ackWaitMs;
    this.#heardAt = clock.monotonic();
    this.#heardAtWall = clock.now();
  }

  /** False once the server may have given the command to somebody else. */
  get isFresh(): boolean {
    // On some systems the monotonic clock stands still while the machine sleeps.
    const wallMs = this.#clock.now() - this.#heardAtWall;
    return this.#clock.monotonic() - this.#heardAt < this.#ackWaitMs && wallMs < this.#ackWaitMs;
  }

  /** The reader may ask for another command. Counts once. */
  unblock(): void {
    this.#unblock?.();
    this.#unblock = undefined;
  }

  /** The same command was delivered here again. */
  renew(delivery: Delivery): void {
    this.delivery = delivery;
    this.#heard();
  }

  /** Tells the server that the command is in work, and looks for events that were missed. */
  beat(): void {
    if (this.isFresh) {
      this.#heard();
      this.delivery.working();
    }
    this.execution?.refresh();
  }

  #heard(): void {
    this.#heardAt = this.#clock.monotonic();
    this.#heardAtWall = this.#clock.now();
  }
}
