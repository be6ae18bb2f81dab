/** A list of checks, each run even when one before it failed, with one verdict at the end. */
import { bold, green, red, seconds } from "./_report.ts";

/** Runs and counts checks. */
export class Steps {
  readonly #failed: string[] = [];
  #passed = 0;

  /** Runs one check; a thrown error is its failure. */
  async step(name: string, check: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    const verdict = (text: string) =>
      console.log(`${bold(name)}: ${text}, ${seconds(performance.now() - started)}`);
    try {
      await check();
      this.#passed++;
      verdict(green("passed"));
    } catch (error) {
      this.#failed.push(name);
      verdict(red("FAILED"));
      console.log(error instanceof Error ? error.message : String(error));
    }
  }

  /** Prints `N passed, N failed` as the last line. Returns the exit code. */
  finish(): number {
    for (const name of this.#failed) console.log(red(`failed: ${name}`));
    console.log(`${this.#passed} passed, ${this.#failed.length} failed`);
    return this.#failed.length > 0 || this.#passed === 0 ? 1 : 0;
  }
}
