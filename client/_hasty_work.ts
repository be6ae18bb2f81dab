import { NotConnectedError } from "./connection_errors.ts";
import { type DeadlineOptions, withDeadline } from "./deadline.ts";

/** Work that is given up when the connection is lost: its answer will not come any more. */
export class HastyWork {
  readonly #running = new Map<AbortController, string>();

  /** Does the work until its bounds end it or the connection is lost, all by the same signal. */
  async run<T>(
    what: string,
    bounds: DeadlineOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    this.#running.set(controller, what);
    try {
      return await withDeadline({ ...bounds, controller }, work);
    } finally {
      this.#running.delete(controller);
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
