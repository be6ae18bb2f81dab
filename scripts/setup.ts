/**
 * Finds or installs nats-server: `deno task setup [--all]`.
 *
 * Without options the newest tested version, with `--all` the oldest supported one too. What is
 * there already is left alone.
 */
import process from "node:process";
import { findServer } from "../testing/find_server.ts";
import { floorServerVersion, newestServerVersion } from "../testing/server_versions.ts";
import { installServer } from "./_install_server.ts";

/**
 * Returns the path of a nats-server, installing it when none is found.
 *
 * With a version, that very version; without, whatever a test would find, else the newest tested.
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
    if (version === undefined && process.env["NATS_SERVER"]) throw error;
    return await installServer(version ?? newestServerVersion, say);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--all");
  if (unknown !== undefined) {
    console.error(`unknown argument "${unknown}"; usage: deno task setup [--all]`);
    return 2;
  }
  const versions = [newestServerVersion, ...(args.length > 0 ? [floorServerVersion] : [])];
  for (const version of versions) {
    console.log(`nats-server ${version}: ${await ensureServer(version)}`);
  }
  return 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
