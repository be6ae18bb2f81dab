import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { checkOptions, checkString } from "../client/validate.ts";
import { environmentVariable, homeFolder } from "./_environment.ts";
import { newestServerVersion } from "./server_versions.ts";

/** What {@link findServer} looks for. */
export interface FindServerOptions {
  /**
   * The exact version wanted, such as `"2.9.10"`. Programs outside the cache are then asked for
   * theirs and passed over when it is another.
   *
   * @default the newest tested version in the cache, any version elsewhere
   */
  readonly version?: string | undefined;
}

/** No nats-server program was found; the message names every place looked at. */
export class ServerNotFoundError extends Error {
  /** Always "ServerNotFoundError". */
  override readonly name = "ServerNotFoundError";
}

/**
 * Finds the nats-server program: the `NATS_SERVER` variable, then the newest tested version in
 * jsflow's cache in the user's cache folder, then the `PATH`, then any version in the cache.
 *
 * With `version`, the cache comes first, since it holds one folder for each version. Nothing is
 * ever downloaded or installed.
 *
 * @returns the program's path
 * @throws {ServerNotFoundError} naming every place looked at and what to do, when there is none
 * @throws {Error} when `NATS_SERVER` is set but is no program, rather than to pass it over silently
 *
 * @example
 * ```ts
 * import { findServer } from "@x/jsflow/testing";
 *
 * async function show() {
 *   console.log(await findServer({ version: "2.9.10" }));
 * }
 * ```
 */
export async function findServer(options?: FindServerOptions): Promise<string> {
  const { version } = checkOptions("findServer", options, ["version"]);
  if (version !== undefined) checkVersion(version);
  const looked: string[] = [];
  const cached = serverCachePath(version ?? newestServerVersion);
  if (version !== undefined && await isThere(cached, looked)) return cached as string;
  const configured = await fromVariable(version, looked);
  if (configured !== undefined) return configured;
  if (version === undefined && await isThere(cached, looked)) return cached as string;
  for (const path of pathCandidates()) {
    if (await isProgram(path) && await hasVersion(path, version, looked)) return path;
  }
  looked.push(
    `${programName()} on the PATH, in /usr/local/bin, /usr/bin and /usr/sbin: none that fits`,
  );
  const other = version === undefined ? await newestCached() : undefined;
  if (other !== undefined) return other;
  throw notFound(version, looked);
}

/**
 * Where the cache keeps a version's program, or undefined when the user has no cache folder:
 * `<cache>/jsflow/nats-server/<version>/nats-server` with `<cache>` = `$XDG_CACHE_HOME`,
 * `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows, else `~/.cache`.
 */
export function serverCachePath(version: string): string | undefined {
  checkVersion(version);
  const folder = userCacheFolder();
  if (folder === undefined) return undefined;
  return join(folder, "jsflow", "nats-server", version, programName());
}

/** The version that a nats-server program reports, or undefined when it does not run. */
export function readServerVersion(path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  try {
    execFile(path, ["--version"], { timeout: 10_000 }, (error, stdout) => {
      resolve(error ? undefined : /nats-server: v?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1]);
    });
  } catch {
    resolve(undefined);
  }
  return promise;
}

/** The cached program of the highest version, pinned or not. */
async function newestCached(): Promise<string | undefined> {
  const pinned = serverCachePath(newestServerVersion);
  if (pinned === undefined) return undefined;
  const folder = dirname(dirname(pinned));
  const versions = (await readdir(folder).catch(() => [])).filter((name) => /^\d/.test(name));
  versions.sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  for (const version of versions) {
    const path = join(folder, version, programName());
    if (await isProgram(path)) return path;
  }
  return undefined;
}

function checkVersion(version: string): void {
  checkString("version", version);
  if (!/^\d+\.\d+\.\d+[\w.-]*$/.test(version)) {
    throw new TypeError(`version must look like "2.15.2", got ${JSON.stringify(version)}`);
  }
}

function userCacheFolder(): string | undefined {
  const configured = environmentVariable("XDG_CACHE_HOME");
  if (configured !== undefined) return configured;
  const home = homeFolder();
  if (process.platform === "win32") {
    return environmentVariable("LOCALAPPDATA") ?? (home && join(home, "AppData", "Local"));
  }
  if (home === undefined) return undefined;
  return process.platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache");
}

function programName(): string {
  return process.platform === "win32" ? "nats-server.exe" : "nats-server";
}

async function isThere(path: string | undefined, looked: string[]): Promise<boolean> {
  if (path === undefined) {
    looked.push("the user's cache folder: unknown (HOME is unset or must not be read)");
    return false;
  }
  if (await isProgram(path)) return true;
  looked.push(`${path}: not there`);
  return false;
}

async function fromVariable(
  version: string | undefined,
  looked: string[],
): Promise<string | undefined> {
  const path = environmentVariable("NATS_SERVER");
  if (path === undefined) {
    looked.push("the variable NATS_SERVER: not set");
    return undefined;
  }
  if (!await isProgram(path)) {
    throw new Error(
      `cannot start nats-server: NATS_SERVER is ${JSON.stringify(path)}, which is no program; ` +
        `set it to the path of a nats-server, or unset it`,
    );
  }
  return await hasVersion(path, version, looked) ? path : undefined;
}

/** Folders of the PATH, and those that hold system programs even when a user's PATH does not. */
function pathCandidates(): string[] {
  const folders = (environmentVariable("PATH") ?? "").split(delimiter).filter((it) => it !== "");
  const usual = process.platform === "win32" ? [] : ["/usr/local/bin", "/usr/bin", "/usr/sbin"];
  return [...new Set([...folders, ...usual])].map((folder) => join(folder, programName()));
}

async function isProgram(path: string): Promise<boolean> {
  try {
    const file = await stat(path); // not `access`, for which Deno demands to know the user
    return file.isFile() && (process.platform === "win32" || (file.mode & 0o111) !== 0);
  } catch {
    return false;
  }
}

async function hasVersion(
  path: string,
  wanted: string | undefined,
  looked: string[],
): Promise<boolean> {
  if (wanted === undefined) return true;
  const version = await readServerVersion(path);
  if (version === wanted) return true;
  looked.push(`${path}: ${version === undefined ? "does not run" : `is version ${version}`}`);
  return false;
}

function notFound(version: string | undefined, looked: readonly string[]): ServerNotFoundError {
  const what = version === undefined ? "nats-server" : `nats-server ${version}`;
  const flag = version === undefined || version === newestServerVersion ? "" : " --all";
  return new ServerNotFoundError(
    `cannot find ${what}; looked at:\n  - ${looked.join("\n  - ")}\n` +
      `To install it, run "deno task setup${flag}" in a checkout of jsflow, or ` +
      `"go install github.com/nats-io/nats-server/v2@v${version ?? newestServerVersion}", or ` +
      `take a release from https://github.com/nats-io/nats-server/releases; ` +
      `then set NATS_SERVER to the program's path or put it on the PATH.`,
  );
}
