/**
 * Packs the library and uses the tarball as a user would: installed into fresh projects of Node
 * (the oldest supported and the newest) and Bun, which import every export and run a workflow and
 * the README's program against a real server; and type-checked from TypeScript.
 *
 *     deno run -A scripts/test_pack.ts
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { NatsServer } from "../testing/mod.ts";
import { root } from "./_paths.ts";
import { runOrThrow } from "./_process.ts";
import { ensureRuntime, npmInstall, type Runtime, type RuntimeName } from "./_runtimes.ts";
import { ensureTestServer } from "./_servers.ts";
import { Steps } from "./_steps.ts";
import { pack, sha256 } from "./pack.ts";

/** The programs that the fresh projects run. */
const PROGRAMS = ["exports.ts", "program.ts"];

const runtimes: readonly RuntimeName[] = ["node22", "node", "bun"];

/** The compilers that the declarations are for: an old one that many still use, and the newest. */
const compilers = ["typescript@5.9", "typescript@7"];

const TIMEOUT_MS = 60_000;

async function main(): Promise<number> {
  const steps = new Steps();
  const scratch = await mkdtemp(join(tmpdir(), "jsflow-package-"));
  let tarball: string | undefined;
  try {
    await steps.step("packing twice gives the same bytes", async () => {
      tarball = await packTwice();
    });
    if (tarball !== undefined) await usePackage(steps, scratch, tarball);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return steps.finish();
}

async function packTwice(): Promise<string> {
  const first = await sha256(await pack());
  const tarball = await pack();
  const second = await sha256(tarball);
  if (first !== second) throw new Error(`${tarball}: ${first}, then ${second}`);
  return tarball;
}

async function usePackage(steps: Steps, scratch: string, tarball: string): Promise<void> {
  await steps.step("the README's program is found", () => readmeProgram("nats://host:1"));
  const binary = (await ensureTestServer("newest")).path;
  const server = await NatsServer.start({ binary });
  try {
    for (const name of runtimes) {
      await steps.step(`used from ${name}`, async () => {
        const runtime = await ensureRuntime(name);
        const project = await createProject(join(scratch, name), server.url);
        await installInto(project, runtime, tarball);
        await runPrograms(project, runtime, server.url);
      });
    }
    await steps.step("a bundle of one codec holds no NATS client", () => {
      return checkBundle(join(scratch, "bun"));
    });
  } finally {
    await server.close();
  }
  for (const compiler of compilers) {
    await steps.step(`type-checked by ${compiler}`, async () => {
      const project = await createProject(join(scratch, compiler), server.url);
      await npmInstall(project, [tarball, compiler, "@types/node@22"]);
      const tsc = join(project, "node_modules", "typescript", "bin", "tsc");
      const node = await ensureRuntime("node22");
      // The NATS packages' own declarations don't hold up to exactOptionalPropertyTypes.
      for (const config of ["tsconfig.json", "tsconfig.exact.json"]) {
        const options = { cwd: project, timeoutMs: TIMEOUT_MS };
        await runOrThrow(node.path, [tsc, "-p", config], options);
      }
    });
  }
}

/** A new project with the programs, but without the package. */
async function createProject(folder: string, url: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const manifest = { name: "consumer", private: true, type: "module" };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  await cp(join(root, "tests", "package"), folder, { recursive: true });
  await writeFile(join(folder, "readme.ts"), await readmeProgram(url));
  return folder;
}

async function installInto(project: string, runtime: Runtime, tarball: string): Promise<void> {
  if (runtime.name !== "bun") return await npmInstall(project, [tarball]);
  const options = { cwd: project, timeoutMs: 300_000 };
  await runOrThrow(runtime.path, ["add", "--no-cache", tarball], options);
}

async function runPrograms(project: string, runtime: Runtime, url: string): Promise<void> {
  for (const program of [...PROGRAMS, "readme.ts"]) {
    const env = { NATS_URL: url, NODE_OPTIONS: "--disable-warning=ExperimentalWarning" };
    await runOrThrow(runtime.path, [program], { cwd: project, env, timeoutMs: TIMEOUT_MS });
  }
}

/** Importing one name must not pull in what it doesn't use: no side effects at import. */
async function checkBundle(project: string): Promise<void> {
  const bun = await ensureRuntime("bun");
  const args = ["build", "one_codec.ts", "--target=node"];
  const bundle = await runOrThrow(bun.path, args, { cwd: project, timeoutMs: TIMEOUT_MS });
  const packages = [...new Set(bundle.match(/(?<=^\/\/ .*node_modules\/)(?:@[^/]+\/)?[^/]+/gm))];
  if (packages.join() !== "@x/jsflow") throw new Error(`bundled: ${packages.join(", ")}`);
}

/** The README's first program, with the address of another server. */
async function readmeProgram(url: string): Promise<string> {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const program = readme.match(/^```ts\b[^\n]*\n([\s\S]*?)^```/m)?.[1];
  if (program === undefined) throw new Error("README.md holds no ts block");
  const address = /(["'`])(?:nats:\/\/)?(?:127\.0\.0\.1|localhost):4222\1/;
  if (!address.test(program)) throw new Error("README.md: the program connects to no address");
  return program.replace(address, JSON.stringify(url));
}

process.exitCode = await main();
