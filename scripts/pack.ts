/**
 * Packs the library for npm: `deno pack`, then what it leaves out.
 *
 *     deno task pack        writes dist/package/ and dist/<name>-<version>.tgz
 *
 * Added are the dependencies that only types mention, engines and `sideEffects`. Checked are the
 * syntax (ES2022), the exports and that nothing but the library is in the package. The same sources
 * give the same bytes.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { checkPackedExports } from "./check_exports.ts";
import { readImports } from "./_imports.ts";
import { type DenoConfig, packageOf, readDenoConfig, versionRange } from "./_package.ts";
import { listFiles, root } from "./_paths.ts";
import { denoPath, runOrThrow } from "./_process.ts";
import { formatProblem, parseJavaScript, type Problem } from "./_syntax.ts";

/** The newest syntax in the package; Node 22, the oldest supported runtime, parses all of it. */
const ECMA_VERSION = 2022;

/** What the package may depend on; everything else is for tests and tools. */
const runtimePackages: readonly string[] = [
  "@bufbuild/protobuf",
  "@logtape/logtape",
  "@nats-io/jetstream",
  "@nats-io/kv",
  "@nats-io/nats-core",
  "@nats-io/transport-node",
  "@opentelemetry/api",
  "cockatiel",
  "lru-cache",
];

/** Files of the package: code, declarations and four documents. */
const wantedFiles = /\.js$|\.d\.ts$|^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md)$/;

const description = "A typed client and durable execution on NATS JetStream";

/** Packs this repository. Returns the path of the tarball. */
export async function pack(): Promise<string> {
  const config = await readDenoConfig(root);
  const dist = join(root, "dist");
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  await unpackRaw(dist);
  const folder = join(dist, "package");
  await removeStrays(folder);
  await writePackageJson(folder, config);
  const problems = await checkPackage(folder, config);
  if (problems.length > 0) throw new Error(problems.map(formatProblem).join("\n"));
  // npm writes tarballs without times, owners and order of its own
  const args = ["pack", folder, "--pack-destination", dist, "--ignore-scripts", "--json"];
  const report = await runOrThrow("npm", [...args, "--loglevel=error"], { cwd: dist });
  return join(dist, tarballName(JSON.parse(report)));
}

/** `deno pack` into a scratch folder, then its content into `dist/package`. */
async function unpackRaw(dist: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "jsflow-pack-"));
  try {
    const raw = join(scratch, "raw.tgz");
    // Source maps would hold the paths of the machine that packs.
    const args = ["pack", "--quiet", "--allow-dirty", "--no-source-maps", "--output", raw];
    await runOrThrow(denoPath(), args, { cwd: root, timeoutMs: 300_000 });
    await runOrThrow("tar", ["-xzf", raw, "-C", dist]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Removes what `deno pack` adds from the publish list besides the modules, such as sources. */
async function removeStrays(folder: string): Promise<void> {
  for (const file of await listFiles(folder)) {
    if (wantedFiles.test(file)) continue;
    console.log(`left out, since no export reaches it: ${file}`);
    await rm(join(folder, file));
  }
}

async function writePackageJson(folder: string, config: DenoConfig): Promise<void> {
  const path = join(folder, "package.json");
  const { dependencies: _, ...packed } = JSON.parse(await readFile(path, "utf8"));
  const complete = {
    ...packed,
    description,
    license: config.license,
    engines: { node: ">=22" },
    sideEffects: false,
    dependencies: await dependencies(folder, config),
  };
  await writeFile(path, `${JSON.stringify(complete, null, 2)}\n`);
}

/** Every package that the code or the declarations import. */
async function dependencies(folder: string, config: DenoConfig): Promise<Record<string, string>> {
  const sources = (await listFiles(folder)).filter((file) => /\.(js|d\.ts)$/.test(file));
  const found = new Map<string, string>();
  for (const { from, line, specifier } of await readImports(folder, sources)) {
    const name = packageOf(specifier);
    if (name === undefined) continue;
    if (!runtimePackages.includes(name)) {
      throw new Error(`${from}:${line}: imports ${name}, which is not in runtimePackages`);
    }
    found.set(name, versionRange(config, name));
  }
  return Object.fromEntries([...found].sort());
}

async function checkPackage(folder: string, config: DenoConfig): Promise<Problem[]> {
  const files = await listFiles(folder);
  const packed = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const problems = checkPackedExports(config, packed, files);
  for (const wanted of ["README.md", "LICENSE", "CHANGELOG.md"]) {
    if (!files.includes(wanted)) problems.push({ file: wanted, line: 1, message: "is missing" });
  }
  for (const file of files) {
    if (file.endsWith(".js")) problems.push(...await checkSyntax(folder, file));
    if (/_(test|bench)\./.test(file)) problems.push({ file, line: 1, message: "is a test" });
  }
  return problems;
}

async function checkSyntax(folder: string, file: string): Promise<Problem[]> {
  try {
    parseJavaScript(await readFile(join(folder, file), "utf8"), ECMA_VERSION);
    return [];
  } catch (error) {
    return [{ file, line: 1, message: `is not ES${ECMA_VERSION}: ${error}` }];
  }
}

/** npm 10 and 11 report a list, npm 12 an object by package name. */
function tarballName(report: unknown): string {
  const entries = typeof report === "object" && report !== null ? Object.values(report) : [];
  const filename: unknown = entries[0]?.filename;
  if (typeof filename === "string") return filename;
  throw new Error(`npm pack reported no file name: ${JSON.stringify(report)}`);
}

/** SHA-256 of a file, in hex. */
export async function sha256(path: string): Promise<string> {
  return createHash("sha256").update(await readFile(path)).digest("hex");
}

async function main(): Promise<void> {
  const tarball = await pack();
  const files = await listFiles(join(root, "dist", "package"));
  console.log(`${tarball}: ${files.length} files, sha256 ${await sha256(tarball)}`);
}

if (import.meta.main) {
  await main().catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
