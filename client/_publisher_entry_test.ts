import assert from "node:assert/strict";
import { test } from "node:test";
import { silentTelemetry } from "../trace/silent_telemetry.ts";
import { createEntry, type Entry, untilSettled } from "./_publisher_entry.ts";

function entries(count: number): Set<Entry> {
  const made = Array.from({ length: count }, (_, n) => {
    const publication = {
      name: `s.${n}`,
      template: "s.{n}",
      payload: new Uint8Array(),
      headers: undefined,
      bytes: 3,
      id: undefined,
      stream: undefined,
      bounds: { timeoutMs: 1_000 },
      retry: undefined,
    };
    const operation = silentTelemetry.begin("publish", { destination: publication.name });
    return createEntry(publication, operation, { resolve: () => {}, reject: () => {} });
  });
  return new Set(made);
}

test("one who gives up waiting leaves nothing on the messages, and the others wait on", () => {
  const open = entries(3);
  const controller = new AbortController();
  for (let n = 0; n < 5; n++) void untilSettled(open, controller.signal);
  void untilSettled(open, new AbortController().signal);
  void untilSettled(open, undefined);
  const waiters = () => [...open].map(({ flushes }) => flushes?.length);
  assert.deepEqual(waiters(), [7, 7, 7]);
  controller.abort();
  assert.deepEqual(waiters(), [2, 2, 2]);
});

test("nothing to wait for is settled at once", async () => {
  await untilSettled(new Set(), undefined);
});
