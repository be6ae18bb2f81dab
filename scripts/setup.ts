/**
 * Finds or installs nats-server: `deno task setup [--all]`.
 *
 * Without options the newest tested version, with `--all` the oldest supported one too. What is
 * there already is left alone.
 */
import process from "node:process";
import { findServer, ServerNotFoundError } from "../testing/find_server.ts";
import { floorServerVersion, newestServerVersion } from "../testing/server_versions.ts";
import { installServer } from "./_install_server.ts";

/**
 * Returns the path of a nats-server, installing it when none is found.
 *
 * With a version, that very version; without, whatever a test would find, else the newest tested,
 * else the oldest supported.
 *
 * @throws {Error} saying what was tried when it can't be had
 */
export async function ensureServer(
  version?: string,
  say: (line: string) => void = (line) => console.error(line),
): Promise<string> {
  try {
    return await findServer(version === undefined ? {} : { version });
  } catch (error) {
    // A variable that points nowhere is a mistake to mend, not a wish to install.
    if (!(error instanceof ServerNotFoundError)) throw error;
  }
  if (version !== undefined) return await installServer(version, say);
  return await installAny(say);
}

/** An old server, such as a distribution has it, is better than none. */
async function installAny(say: (line: string) => void): Promise<string> {
  try {
    return await installServer(newestServerVersion, say);
  } catch (error) {
    return await installServer(floorServerVersion, say).catch(() => {
      throw error;
    });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--all");
  if (unknown !== undefined) {
    console.error(`unknown argument "${unknown}"; usage: deno task setup [--all]`);
    return 2;
  }
  const versions = [newestServerVersion, ...(args.length > 0 ? [floorServerVersion] : [])];
  let failures = 0;
  for (const version of versions) {
    try {
      console.log(`nats-server ${version}: ${await ensureServer(version)}`);
    } catch (error) {
      failures++;
      console.error((error as Error).message);
    }
  }
  return failures === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
