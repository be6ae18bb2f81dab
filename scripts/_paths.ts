/** Where things are in this repository. */
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join, relative, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The repository's root folder, without a trailing slash. */
export const root: string = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");

const SKIPPED = new Set(["node_modules", "dist"]);

/** Every file below `folder`, sorted, as paths with forward slashes relative to `folder`. */
export async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  await walk(folder, found);
  return found.map((file) => relative(folder, file).split(sep).join("/")).sort();
}

async function walk(folder: string, found: string[]): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await walk(path, found);
    else found.push(path);
  }
}

/** The folder for downloaded tools: in the user's cache, shared by all checkouts. */
export function cacheFolder(): string {
  const env = process.env;
  if (env["XDG_CACHE_HOME"]) return join(env["XDG_CACHE_HOME"], "jsflow");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "jsflow");
  if (process.platform === "win32" && env["LOCALAPPDATA"]) {
    return join(env["LOCALAPPDATA"], "jsflow");
  }
  return join(homedir(), ".cache", "jsflow");
}
