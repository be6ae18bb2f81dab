/**
 * Type-checks the TypeScript examples in the *.md files as a user would write them, without the
 * library's own rule of explicit types on everything exported. Blocks marked `ts ignore` are left
 * out.
 *
 *     deno run -A scripts/check_markdown.ts
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { listFiles, root } from "./_paths.ts";
import { denoPath, run } from "./_process.ts";

async function main(): Promise<number> {
  const files = (await listFiles(root)).filter((file) => file.endsWith(".md"));
  const scratch = await mkdtemp(join(tmpdir(), "jsflow-markdown-"));
  try {
    await writeFile(join(scratch, "deno.json"), JSON.stringify(await userConfig()));
    const copies = files.map((file) => file.replaceAll("/", "__"));
    for (const [index, file] of files.entries()) {
      await cp(join(root, file), join(scratch, copies[index] ?? basename(file)));
    }
    const args = ["check", "--quiet", "--no-lock", "--doc-only", ...copies];
    const options = { cwd: scratch, timeoutMs: 300_000 };
    const done = await run(denoPath(), args, options);
    if (done.code === 0) console.log(`markdown: examples of ${files.length} files are typed`);
    else {console.error(
        done.stderr.replaceAll(pathToFileURL(scratch).href, "").replaceAll("__", "/"),
      );}
    return done.code === 0 ? 0 : 1;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** deno.json for a project that uses the library from this folder. */
async function userConfig(): Promise<unknown> {
  const config = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const own = Object.entries<string>(config.exports).map(([name, file]) => [
    config.name + name.slice(1),
    new URL(file, pathToFileURL(join(root, "/"))).href,
  ]);
  return {
    imports: { ...config.imports, ...Object.fromEntries(own) },
    // The sources are checked along, so most of their options must stay.
    compilerOptions: { ...config.compilerOptions, isolatedDeclarations: false },
  };
}

process.exitCode = await main();
