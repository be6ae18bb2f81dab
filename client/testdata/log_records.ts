import { configure, type LogRecord, reset } from "@logtape/logtape";

/** Runs a test with what the library logs meanwhile. */
export async function withLogRecords(
  use: (records: readonly LogRecord[]) => Promise<void>,
): Promise<void> {
  const records: LogRecord[] = [];
  await configure({
    reset: true,
    sinks: { records: (record) => records.push(record) },
    loggers: [
      { category: ["jsflow"], sinks: ["records"] },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
  });
  try {
    await use(records);
  } finally {
    await reset();
  }
}
