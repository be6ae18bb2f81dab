/**
 * Checks what the package exports: every folder is exported, every `mod.ts` holds named, sorted
 * re-exports, and a packed package.json has the same exports as deno.json.
 *
 *     deno run -A scripts/check_exports.ts
 *     deno run -A scripts/check_exports.ts --package dist/package/package.json
 */
import { readFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import process from "node:process";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { checkEntryPoint, checkExportMap } from "./_entry_points.ts";
import { type DenoConfig, npmExports, type PackageJson, readDenoConfig } from "./_package.ts";
import { listFiles, root } from "./_paths.ts";
import { formatProblem, type Problem } from "./_syntax.ts";

/** Everything wrong with the exports of the package in a folder. */
export async function checkExports(folder: string): Promise<Problem[]> {
  const config = await readDenoConfig(folder);
  const files = await listFiles(folder);
  const problems = checkExportMap(config, files);
  for (const file of files.filter((file) => posix.basename(file) === "mod.ts")) {
    problems.push(...checkEntryPoint(file, await readFile(join(folder, file), "utf8")));
  }
  return problems;
}

/** Whether a packed package.json exports what deno.json exports, from files that are there. */
export function checkPackedExports(
  config: DenoConfig,
  packed: PackageJson,
  files: readonly string[],
): Problem[] {
  const problems: Problem[] = [];
  const complain = (message: string) => problems.push({ file: "package.json", line: 1, message });
  const wanted = npmExports(config);
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(packed.exports)])) {
    if (!isDeepStrictEqual(wanted[name], packed.exports[name])) {
      complain(
        `exports: "${name}" should be ${JSON.stringify(wanted[name])}, ` +
          `is ${JSON.stringify(packed.exports[name])}`,
      );
    }
    for (const target of Object.values(packed.exports[name] ?? {})) {
      if (!files.includes(posix.normalize(target))) complain(`"${name}": no file ${target}`);
    }
  }
  return problems;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { package: { type: "string" } } });
  const problems = await checkExports(root);
  if (values.package !== undefined) {
    const packed: PackageJson = JSON.parse(await readFile(values.package, "utf8"));
    const files = await listFiles(dirname(values.package));
    problems.push(...checkPackedExports(await readDenoConfig(root), packed, files));
  }
  for (const problem of problems) console.error(formatProblem(problem));
  if (problems.length === 0) console.log("exports: entry points and export maps agree");
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
