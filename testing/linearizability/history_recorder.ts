import { closeSync, openSync, writeSync } from "node:fs";
import { checkFunction, checkOptions, checkString } from "../../client/validate.ts";
import type { OperationResult } from "./recorded_operation.ts";

/** What a recorder is about to do. */
export interface RecordedCall<I> {
  /** What it is done to. */
  readonly key: string;
  /** As JSON it must say everything. */
  readonly input: I;
}

/**
 * What an error says about an operation: its result; `"unknown"`, if it may still take effect; or
 * `"void"`, if it certainly never does, so that it is no part of the history.
 */
export type Settlement<O> = OperationResult<O> | "unknown" | "void";

/** How {@link HistoryRecorder.record} judges what was thrown. */
export interface RecordOptions<O> {
  /** Makes a result of an error, or says that there is none. @default always `"unknown"` */
  readonly settle?: ((error: unknown) => Settlement<O>) | undefined;
}

/** A line of a history file. */
export type HistoryLine =
  | {
    readonly event: "call";
    readonly process: string;
    readonly id: number;
    readonly ms: number;
    readonly key: string;
    readonly input: unknown;
  }
  | {
    readonly event: "return";
    readonly process: string;
    readonly id: number;
    readonly ms: number;
    readonly output: unknown;
  }
  | {
    readonly event: "unknown" | "void";
    readonly process: string;
    readonly id: number;
    readonly ms: number;
    readonly note: string;
  };

/** Writes down what one process does. */
export interface HistoryRecorder {
  /**
   * Writes down the call, runs it, writes down what came of it, and returns that; undefined when it
   * threw and `settle` makes no result of that.
   *
   * An operation that returns undefined has a result all the same: it has taken effect before it
   * returned. JSON has no undefined, so `{}` is written down, an output that leaves out everything
   * that a model would check.
   */
  record<I, O>(
    call: RecordedCall<I>,
    run: () => Promise<O>,
    options?: RecordOptions<O>,
  ): Promise<O | undefined>;
  /** Closes the file. Idempotent. */
  close(): void;
}

/**
 * Opens a history file, to which any number of processes of one machine may write at once.
 *
 * The order of its lines is the order of events: a line is at the end of the file before the
 * operation begins, and another one after it has ended, and the system appends one line after the
 * other. So an operation never looks shorter than it was, and no clocks are compared: those of two
 * processes need not agree (on Deno and Bun the monotonic one begins with the process). The file
 * must be on a local file system.
 *
 * A process that dies leaves calls without a return, which are operations without a result.
 *
 * @param process the name of this process; no other one may write under it, nor the same one later
 * @throws {TypeError} for arguments that make no sense
 * @throws {Error} when the file can't be opened
 *
 * @example
 * ```ts
 * import { openHistory, readHistory } from "@x/jsflow/testing";
 *
 * async function program(get: () => Promise<string>) {
 *   const history = openHistory("/tmp/history.jsonl", "client 1");
 *   const read = { key: "k", input: { op: "read" } };
 *   await history.record(read, async () => ({ value: await get() }), { settle: () => "void" });
 *   history.close();
 *   console.log(readHistory("/tmp/history.jsonl").operations);
 * }
 * console.log(program);
 * ```
 */
export function openHistory(path: string, process: string): HistoryRecorder {
  checkString("process", process);
  return new FileRecorder(openSync(checkString("path", path), "a"), process);
}

class FileRecorder implements HistoryRecorder {
  readonly #process: string;
  #file: number | undefined;
  #lastId = 0;

  constructor(file: number, process: string) {
    this.#file = file;
    this.#process = process;
  }

  async record<I, O>(
    call: RecordedCall<I>,
    run: () => Promise<O>,
    options?: RecordOptions<O>,
  ): Promise<O | undefined> {
    checkFunction("run", run);
    const { settle = () => "unknown" as const } = checkOptions("record", options, ["settle"]);
    const id = ++this.#lastId;
    this.#write({ event: "call", ...this.#head(id), key: call.key, input: call.input });
    const settlement = await outcomeOf(run).catch((error) => {
      const settlement = settle(error);
      if (typeof settlement === "object") return settlement;
      this.#write({ event: settlement, ...this.#head(id), note: String(error) });
      return undefined;
    });
    if (settlement === undefined) return undefined;
    const { output } = settlement;
    this.#write({ event: "return", ...this.#head(id), output: output === undefined ? {} : output });
    return output;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #head(id: number): { process: string; id: number; ms: number } {
    return { process: this.#process, id, ms: Date.now() };
  }

  /** In one write, and on a line of its own even if another process died within a line. */
  #write(line: HistoryLine): void {
    if (this.#file === undefined) throw new Error("cannot record: the history is closed");
    writeSync(this.#file, `\n${JSON.stringify(line)}\n`);
  }
}

async function outcomeOf<O>(run: () => Promise<O>): Promise<OperationResult<O>> {
  return { output: await run() };
}
