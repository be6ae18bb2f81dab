/**
 * Runs the suite again and again, until it is red.
 *
 *     deno task repeat <n> [the options of deno task test]
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { root } from "./_paths.ts";
import { denoPath, run } from "./_process.ts";
import { bold, green, red, seconds } from "./_report.ts";

async function main([count = "", ...rest]: string[]): Promise<number> {
  const times = Number(count);
  if (!Number.isInteger(times) || times < 1) {
    console.error(`repeat: expected how often as the first argument, got "${count}"`);
    return 2;
  }
  const suite = fileURLToPath(new URL("run_tests.ts", import.meta.url));
  const results: string[] = [];
  for (let round = 1; round <= times; round++) {
    console.log(bold(`\n=== round ${round} of ${times}`));
    const done = await run(denoPath(), ["run", "-A", suite, ...rest], { cwd: root, echo: true });
    const verdict = done.stdout.trimEnd().split("\n").at(-1) ?? "";
    results.push(`round ${round}: ${verdict}, ${seconds(done.ms)}`);
    console.log(`\n${results.join("\n")}`);
    if (done.code !== 0) {
      console.log(red(`red in round ${round} of ${times}`));
      return 1;
    }
  }
  console.log(green(`green ${times} times in a row`));
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
