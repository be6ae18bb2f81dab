/** Wakes one waiter; a ring that nobody waits for is kept for the next wait. */
export class Bell {
  #rung = false;
  #wake: () => void = () => {};

  /** Wakes the waiter, now or when it comes. */
  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Until the bell rings, or has rung since the last wait, or the time is over. */
  async wait(ms?: number): Promise<void> {
    if (!this.#rung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}
