/**
 * Checks the import rules in CONTRIBUTING.md: direction, circles, files private to their folder;
 * and each file's length and syntax, which every supported runtime must be able to parse.
 *
 *     deno run -A scripts/check_layers.ts
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { checkFile } from "./_file_rules.ts";
import { readImports } from "./_imports.ts";
import { checkImports } from "./_layers.ts";
import { listFiles, root } from "./_paths.ts";
import { formatProblem, type Problem } from "./_syntax.ts";

/** Everything wrong with the TypeScript files below a folder. */
export async function checkLayers(folder: string): Promise<Problem[]> {
  const files = (await listFiles(folder)).filter((file) => file.endsWith(".ts"));
  const problems: Problem[] = [];
  for (const file of files) {
    problems.push(...checkFile(file, await readFile(join(folder, file), "utf8")));
  }
  const imports = await readImports(folder, files, join(root, "deno.json"));
  return [...problems, ...checkImports(imports)];
}

async function main(): Promise<number> {
  const problems = await checkLayers(root);
  for (const problem of problems) console.error(formatProblem(problem));
  if (problems.length === 0) console.log("layers: imports, files and syntax are as planned");
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
