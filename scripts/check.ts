/**
 * Everything that can be said about the sources without running the suite.
 *
 *     deno task check [word …]        only the checks whose name holds one of the words
 */
import process from "node:process";
import { isLibrary, isTest } from "./_layers.ts";
import { listFiles, root } from "./_paths.ts";
import { denoPath, runOrThrow } from "./_process.ts";
import { Steps } from "./_steps.ts";

/** A check is one call of Deno. */
interface Check {
  readonly name: string;
  readonly args: readonly string[];
}

async function allChecks(): Promise<Check[]> {
  const files = await listFiles(root);
  const documented = files.filter((file) =>
    isLibrary(file) && file.endsWith(".ts") && !isTest(file) && !file.includes("/gen/")
  );
  return [
    { name: "format", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "types", args: ["check", "."] },
    { name: "docs are complete", args: ["run", "-A", "scripts/check_docs.ts"] },
    { name: "examples in docs run", args: ["test", "-A", "--doc", "--parallel", ...documented] },
    { name: "examples in *.md are typed", args: ["run", "-A", "scripts/check_markdown.ts"] },
    { name: "generated code is fresh", args: ["run", "-A", "scripts/generate.ts", "--check"] },
    { name: "layers", args: ["run", "-A", "scripts/check_layers.ts"] },
    { name: "exports", args: ["run", "-A", "scripts/check_exports.ts"] },
    { name: "publish (dry run)", args: ["publish", "--dry-run", "--allow-dirty"] },
  ];
}

async function main(words: readonly string[]): Promise<number> {
  const steps = new Steps();
  for (const { name, args } of await allChecks()) {
    if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
    const options = { cwd: root, timeoutMs: 600_000 };
    await steps.step(name, () => runOrThrow(denoPath(), args, options));
  }
  return steps.finish();
}

process.exitCode = await main(process.argv.slice(2));
