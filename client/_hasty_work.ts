import { NotConnectedError } from "./connection_errors.ts";
import { untilAborted } from "./deadline.ts";

/** Work that is given up when the connection is lost: its answer will not come any more. */
export class HastyWork {
  readonly #running = new Map<AbortController, string>();

  /** Does the work until the signal aborts or the connection is lost. */
  async run<T>(
    what: string,
    outer: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const hasty = new AbortController();
    const abort = () => hasty.abort(outer.reason);
    outer.addEventListener("abort", abort, { once: true });
    this.#running.set(hasty, what);
    try {
      return await untilAborted(work(hasty.signal), hasty.signal);
    } finally {
      this.#running.delete(hasty);
      outer.removeEventListener("abort", abort);
    }
  }

  /** The connection is lost. */
  giveUp(): void {
    for (const [controller, what] of [...this.#running]) {
      controller.abort(
        new NotConnectedError(
          what,
          "the connection was lost before the answer came, so it may have been done or not; ask " +
            "before you do it again, or do only what may be done twice",
        ),
      );
    }
  }
}
