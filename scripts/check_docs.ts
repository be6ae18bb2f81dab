/**
 * Checks that everything exported is documented (`deno doc --lint`), leaving out what other
 * packages say about their own types, which the library re-exports.
 *
 *     deno run -A scripts/check_docs.ts
 */
import process from "node:process";
import { readDenoConfig } from "./_package.ts";
import { root } from "./_paths.ts";
import { denoPath, run } from "./_process.ts";

/** The complaints in the output of `deno doc --lint` that concern this repository's files. */
export function ownComplaints(output: string): string[] {
  const blocks = output.split(/^(?=error(?:\[|:))/m).filter((block) => block.startsWith("error["));
  return blocks.filter((block) => !/^\s*-->.*[/\\]node_modules[/\\]/m.test(block))
    .map((block) => block.trim());
}

async function main(): Promise<number> {
  const entryPoints = Object.values((await readDenoConfig(root)).exports);
  const done = await run(denoPath(), ["doc", "--lint", ...entryPoints], {
    cwd: root,
    env: { NO_COLOR: "1" },
    timeoutMs: 300_000,
  });
  const complaints = ownComplaints(done.stderr);
  if (complaints.length > 0) console.error(complaints.join("\n\n"));
  // Anything else than complaints is a failure to read the sources.
  const broken = done.code !== 0 && !/^error: Found \d+ documentation lint/m.test(done.stderr);
  if (broken) console.error(done.stderr);
  if (complaints.length > 0 || broken) return 1;
  console.log("docs: everything exported is documented");
  return 0;
}

if (import.meta.main) process.exitCode = await main();
