import { readFileSync } from "node:fs";
import type { HistoryLine } from "./history_recorder.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/** What processes wrote down. */
export interface History<I, O> {
  /** In the order of their calls; those that certainly never took effect are left out. */
  readonly operations: readonly RecordedOperation<I, O>[];
  /** Lines that were not written to their end, as by a process that was killed. */
  readonly tornLines: number;
}

/**
 * Reads a history file that was written through `openHistory`.
 *
 * @throws {Error} when the file can't be read, or when two processes wrote under one name
 */
export function readHistory<I, O>(path: string): History<I, O> {
  const operations = new Map<string, RecordedOperation<I, O> | undefined>();
  let tornLines = 0;
  for (const [place, text] of readFileSync(path, "utf8").split("\n").entries()) {
    if (text === "") continue;
    const line = parse(text);
    if (line === undefined) tornLines++;
    else addLine(operations, line, place);
  }
  return {
    operations: [...operations.values()].filter((operation) => operation !== undefined),
    tornLines,
  };
}

function parse(text: string): HistoryLine | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function addLine<I, O>(
  operations: Map<string, RecordedOperation<I, O> | undefined>,
  line: HistoryLine,
  place: number,
): void {
  const { process, id, ms } = line;
  const name = `${id} ${process}`;
  const called = operations.get(name);
  if (line.event === "call") {
    if (operations.has(name)) throw new Error(`two processes wrote as ${process}`);
    const { key, input } = line;
    const pending = { result: undefined, called: place, returned: Infinity };
    operations.set(name, { process, key, input: input as I, ...pending, times: { calledMs: ms } });
  } else if (line.event === "void") operations.set(name, undefined);
  else if (called !== undefined) {
    operations.set(name, { ...called, ...ending(line, place, called) });
  }
}

function ending<I, O>(
  line: Exclude<HistoryLine, { event: "call" }>,
  place: number,
  called: RecordedOperation<I, O>,
): Partial<RecordedOperation<I, O>> {
  const times = { calledMs: called.times!.calledMs, returnedMs: line.ms };
  if (line.event !== "return") return { times, note: line.note };
  return { times, result: { output: line.output as O }, returned: place };
}
