/**
 * Plants known bugs and expects the tests to find them.
 *
 *     deno task mutants [name …]
 *
 * Each `tests/mutants/*.patch` begins with two lines that `git apply` skips:
 *
 *     # test: <test file> :: <regular expression for the test's name>
 *     # why: <the mechanism that the patch removes>
 *
 * The named test must pass without the patch and fail with it. Patches are applied to a copy.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { root } from "./_paths.ts";
import { denoPath, run, runOrThrow } from "./_process.ts";
import { bold, green, red, table } from "./_report.ts";
import { ensureRuntime, type Runtime } from "./_runtimes.ts";
import { ensureTestServer, type TestServer } from "./_servers.ts";
import { runSuite, type SuiteResult } from "./_suite.ts";

/** Time limit of one test; a mutant may well make it hang, which counts as found. */
const TIMEOUT_MS = 180_000;

interface Mutant {
  readonly name: string;
  readonly patch: string;
  readonly file: string;
  readonly pattern: string;
  readonly why: string;
}

type Verdict = "killed" | "survived" | "does not apply" | "red without the patch" | "does not load";

interface Ground {
  readonly folder: string;
  readonly runtime: Runtime;
  readonly server: TestServer;
}

async function readMutants(words: readonly string[]): Promise<Mutant[]> {
  const folder = join(root, "tests", "mutants");
  const files = existsSync(folder) ? (await readdir(folder)).sort() : [];
  const patches = files.filter((file) => file.endsWith(".patch"))
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
  return await Promise.all(patches.map(async (file) => {
    const patch = join(folder, file);
    const text = await readFile(patch, "utf8");
    const test = text.match(/^# test: (\S+) :: (.+)$/m);
    const why = text.match(/^# why: (.+)$/m);
    if (test === null || why === null) {
      throw new Error(`${file}: expected "# test: <file> :: <pattern>" and "# why: <reason>"`);
    }
    const [, testFile = "", pattern = ""] = test;
    return { name: file.slice(0, -6), patch, file: testFile, pattern, why: why[1] ?? "" };
  }));
}

/** Copies what git knows or would add, so that the work tree is never touched. */
async function copyTree(target: string): Promise<void> {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const files = (await runOrThrow("git", args, { cwd: root })).split("\0").filter(Boolean);
  for (const file of files) {
    if (!existsSync(join(root, file))) continue; // deleted, and not yet committed
    await mkdir(dirname(join(target, file)), { recursive: true });
    await cp(join(root, file), join(target, file));
  }
  await runOrThrow(denoPath(), ["install", "--quiet"], { cwd: target, timeoutMs: 300_000 });
}

async function runNamed(mutant: Mutant, ground: Ground): Promise<SuiteResult> {
  return await runSuite(ground.runtime, ground.server, [mutant.file], {
    filter: mutant.pattern,
    folder: ground.folder,
    timeoutMs: TIMEOUT_MS,
    echo: false,
  });
}

async function judge(mutant: Mutant, ground: Ground): Promise<Verdict> {
  const before = await runNamed(mutant, ground);
  if (before.failed > 0) {
    console.error(red(before.failures.join("\n")));
    return "red without the patch";
  }
  const apply = await run("git", ["apply", mutant.patch], { cwd: ground.folder });
  if (apply.code !== 0) {
    console.error(red(apply.stderr.trim()));
    return "does not apply";
  }
  try {
    const after = await runNamed(mutant, ground);
    if (after.failed === 0) return "survived";
    return after.reported > 0 || after.timedOut ? "killed" : "does not load";
  } finally {
    await runOrThrow("git", ["apply", "--reverse", mutant.patch], { cwd: ground.folder });
  }
}

async function main(): Promise<boolean> {
  const words = process.argv.slice(2);
  const mutants = await readMutants(words);
  if (mutants.length === 0) {
    console.log(`no mutant ${words.length > 0 ? `is named ${words.join(" or ")}` : "yet"}`);
    return words.length === 0;
  }
  const folder = await mkdtemp(join(tmpdir(), "jsflow-mutants-"));
  const rows: string[][] = [];
  try {
    await copyTree(folder);
    const [runtime, server] = [await ensureRuntime("deno"), await ensureTestServer("newest")];
    for (const mutant of mutants) {
      console.log(`${bold(mutant.name)}: ${mutant.why}`);
      const verdict = await judge(mutant, { folder, runtime, server });
      console.log(verdict === "killed" ? green(verdict) : red(verdict));
      rows.push([mutant.name, mutant.file, verdict]);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const killed = rows.filter(([, , verdict]) => verdict === "killed").length;
  console.log(`\n${table([["mutant", "test", "verdict"], ...rows])}`);
  console.log(`\n${killed} passed, ${rows.length - killed} failed`);
  return killed === rows.length;
}

process.exitCode = await main() ? 0 : 1;
