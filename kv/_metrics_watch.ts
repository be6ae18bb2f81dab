import type { Change } from "./entry.ts";
import type { MetricsSnapshot } from "./metric.ts";
import type { Watch } from "./watch.ts";

/** Reads a watch's changes as states of a board; whatever ends it closes the watch. */
export function iterateSnapshots(
  watch: Watch<unknown>,
  snapshotOf: (change: Change<unknown>) => MetricsSnapshot,
): AsyncIterator<MetricsSnapshot> {
  const changes = watch[Symbol.asyncIterator]();
  return {
    next: async () => {
      try {
        const { done, value } = await changes.next();
        return done ? { done, value: undefined } : { value: snapshotOf(value) };
      } catch (error) {
        await watch.close();
        throw error;
      }
    },
    return: async () => {
      await watch.close();
      return { done: true, value: undefined };
    },
  };
}
