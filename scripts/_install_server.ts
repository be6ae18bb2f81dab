/** Installs one version of nats-server into the user's cache, by the first way that works. */
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { readServerVersion, serverCachePath } from "../testing/find_server.ts";
import { serverChecksums } from "../testing/server_versions.ts";
import { runOrThrow } from "./_process.ts";

/** One way to get the program: writes it somewhere below `folder` and returns its path. */
interface Way {
  readonly name: string;
  readonly get: (version: string, folder: string) => Promise<string>;
}

const RELEASES = "https://github.com/nats-io/nats-server/releases/download";
const DOWNLOAD_TIMEOUT_MS = 120_000;
const CONNECT_TIMEOUT_MS = 8_000;
const BUILD_TIMEOUT_MS = 15 * 60_000;
const PACKAGE_TIMEOUT_MS = 5 * 60_000;

const ways: readonly Way[] = [
  { name: "release download", get: download },
  { name: "go install", get: goInstall },
  { name: "system package", get: systemPackage },
];

/**
 * Puts a version into the cache and returns its path. Safe to run from several processes at once:
 * the program appears under its name by one rename, complete.
 *
 * @throws {Error} saying what was tried and why each way failed
 */
export async function installServer(
  version: string,
  say: (line: string) => void,
): Promise<string> {
  const target = serverCachePath(version);
  if (target === undefined) {
    throw new Error("cannot install nats-server: there is no cache folder, set XDG_CACHE_HOME");
  }
  await mkdir(dirname(target), { recursive: true });
  const failures: string[] = [];
  for (const { name, get } of ways) {
    const folder = await mkdtemp(join(dirname(target), "install-"));
    try {
      say(`nats-server ${version}: trying ${name}`);
      await place(await get(version, folder), version, target);
      say(`nats-server ${version}: installed by ${name}`);
      return target;
    } catch (error) {
      const why = reason(error).trim().split("\n").slice(-3).join(" ");
      failures.push(`${name}: ${why}`);
      say(`nats-server ${version}: ${name} did not work: ${why}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new Error(`cannot install nats-server ${version}:\n  - ${failures.join("\n  - ")}`);
}

/** The innermost message: "fetch failed" alone helps nobody. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reason(error.cause) : error.message;
}

/** A program of another version is not what the tests mean. */
async function place(program: string, version: string, target: string): Promise<void> {
  await chmod(program, 0o755);
  const found = await readServerVersion(program);
  if (found !== version) throw new Error(`it is version ${found}, wanted ${version}`);
  await rename(program, target);
}

async function download(version: string, folder: string): Promise<string> {
  const platform = releasePlatform();
  const suffix = platform.startsWith("windows") ? "zip" : "tar.gz";
  const archive = `nats-server-v${version}-${platform}.${suffix}`;
  const bytes = await fetchBytes(`${RELEASES}/v${version}/${archive}`);
  const expected = serverChecksums[version]?.[platform] ?? await publishedSum(version, archive);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== expected) throw new Error(`checksum ${actual}, expected ${expected}`);
  const path = join(folder, archive);
  await writeFile(path, bytes);
  await runOrThrow("tar", ["-xf", path, "-C", folder], { timeoutMs: PACKAGE_TIMEOUT_MS });
  return await findProgram(folder);
}

function releasePlatform(): string {
  const systems: Readonly<Record<string, string>> = { win32: "windows", darwin: "darwin" };
  const processors: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", arm: "arm7" };
  const system = systems[process.platform] ?? process.platform;
  return `${system}-${processors[process.arch] ?? process.arch}`;
}

/** The checksums that the release itself names: they reveal a damaged download. */
async function publishedSum(version: string, archive: string): Promise<string> {
  const text = new TextDecoder().decode(
    await fetchBytes(`${RELEASES}/v${version}/SHA256SUMS`),
  );
  const line = text.split("\n").find((line) => line.trim().endsWith(archive));
  if (line === undefined) throw new Error(`SHA256SUMS does not name ${archive}`);
  return line.trim().split(/\s+/)[0] ?? "";
}

/** Gives up soon when nothing answers, and late once an answer is coming. */
async function fetchBytes(url: string): Promise<Uint8Array> {
  const connect = new AbortController();
  const timer = setTimeout(
    () => connect.abort(new Error("no answer")),
    CONNECT_TIMEOUT_MS,
  );
  try {
    const signal = AbortSignal.any([connect.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]);
    const response = await fetch(url, { signal });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } finally {
    clearTimeout(timer);
  }
}

async function goInstall(version: string, folder: string): Promise<string> {
  await runOrThrow("go", ["install", `github.com/nats-io/nats-server/v2@v${version}`], {
    env: { GOBIN: folder, GOFLAGS: undefined },
    timeoutMs: BUILD_TIMEOUT_MS,
  });
  return await findProgram(folder);
}

/** Unpacks the distribution's package without installing it: nothing outside the cache changes. */
async function systemPackage(_version: string, folder: string): Promise<string> {
  const options = { cwd: folder, timeoutMs: PACKAGE_TIMEOUT_MS };
  await runOrThrow("apt-get", ["download", "nats-server"], options).catch(async () => {
    await runOrThrow("apt-get", ["update"], options);
    await runOrThrow("apt-get", ["download", "nats-server"], options);
  });
  const archive = (await readdir(folder)).find((name) => name.endsWith(".deb"));
  if (archive === undefined) throw new Error("apt-get downloaded nothing");
  await runOrThrow("dpkg", ["-x", archive, folder], options);
  return await findProgram(folder);
}

async function findProgram(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const program = entries.find((entry) =>
    entry.isFile() && /^nats-server(\.exe)?$/.test(entry.name)
  );
  if (program === undefined) throw new Error("it holds no nats-server program");
  return join(program.parentPath, program.name);
}
