/** The two servers that the suite runs on. */
import { readServerVersion } from "../testing/find_server.ts";
import { floorServerVersion, newestServerVersion } from "../testing/server_versions.ts";
import { ensureServer } from "./setup.ts";

/** The newest tested release and the oldest supported one. */
export type ServerName = "newest" | "floor";

/** A server's binary on this machine. */
export interface TestServer {
  readonly name: ServerName;
  readonly version: string;
  /** Path of the program. */
  readonly path: string;
}

/** Both, in the order in which they run. */
export const serverNames: readonly ServerName[] = ["newest", "floor"];

const versions: Readonly<Record<ServerName, string>> = {
  newest: newestServerVersion,
  floor: floorServerVersion,
};

/** Finds a server's binary, or installs it into the user's cache. */
export async function ensureTestServer(name: ServerName): Promise<TestServer> {
  const path = await ensureServer(versions[name]);
  return { name, version: await readServerVersion(path) ?? "?", path };
}
