import { Semaphore } from "../client/semaphore.ts";
import type { Journal } from "./journal.ts";

/** The right to decide about an invocation, and its journal as the one before has left it. */
export interface Turn {
  readonly journal: Journal;
  /** Lets the next one in, with the journal unless it is still in use. Only the first call counts. */
  leave(journal?: Journal): void;
}

interface Line {
  readonly door: Semaphore;
  /** Those inside and those in line. */
  size: number;
  journal: Journal | undefined;
}

/**
 * Lets the commands of one invocation take turns in this process.
 *
 * Racing each other they would lose most of their appends, each after reading the whole journal
 * again, and starve the invocation's owner, whose appends race as well.
 */
export class Turns {
  readonly #lines = new Map<string, Line>();

  /** Waits until nobody else in this process decides about the invocation. */
  async take(subject: string, open: () => Journal): Promise<Turn> {
    const line = this.#lines.get(subject) ??
      { door: new Semaphore(1), size: 0, journal: undefined };
    this.#lines.set(subject, line);
    line.size++;
    await line.door.acquire();
    let left = false;
    return {
      journal: line.journal ?? open(),
      leave: (journal) => {
        if (left) return;
        left = true;
        line.journal = journal;
        if (--line.size === 0) this.#lines.delete(subject);
        line.door.release();
      },
    };
  }
}
