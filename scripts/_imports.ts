/** Who imports whom, types included, as Deno's module graph has it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { denoPath, runOrThrow } from "./_process.ts";

/** One import of one file. */
export interface Import {
  /** The importing file, relative to the folder, with forward slashes. */
  readonly from: string;
  /** Line of the import, from 1. */
  readonly line: number;
  /** The specifier as written. */
  readonly specifier: string;
  /** The imported file, relative to the folder; absent when it is not a file in it. */
  readonly to?: string | undefined;
}

interface Resolution {
  readonly specifier?: string;
  readonly span: { readonly start: { readonly line: number } };
}

interface Graph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly code?: Resolution;
      readonly type?: Resolution;
    }[];
  }[];
}

/**
 * All imports of the given files.
 *
 * @throws {Error} when one of them can't be read or parsed
 */
export async function readImports(
  folder: string,
  files: readonly string[],
  config?: string | undefined,
): Promise<Import[]> {
  const scratch = await mkdtemp(join(tmpdir(), "jsflow-imports-"));
  try {
    const entry = join(scratch, "entry.ts");
    const lines = files.map((file) => `import ${JSON.stringify(urlOf(folder, file))};`);
    await writeFile(entry, lines.join("\n"));
    const configFlags = config === undefined ? ["--no-config"] : ["--config", config];
    const args = ["info", "--json", ...configFlags, entry];
    const graph: Graph = JSON.parse(await runOrThrow(denoPath(), args, { timeoutMs: 120_000 }));
    return importsOf(graph, folder, files);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function importsOf(graph: Graph, folder: string, files: readonly string[]): Import[] {
  const found: Import[] = [];
  for (const module of graph.modules) {
    const from = pathIn(folder, module.specifier);
    if (from === undefined) continue;
    if (module.error !== undefined && files.includes(from)) {
      throw new Error(`${from}: ${module.error}`); // a missing file is for the type check to say
    }
    for (const { specifier, code, type } of module.dependencies ?? []) {
      const resolution = code ?? type;
      if (resolution === undefined) continue;
      const line = resolution.span.start.line + 1;
      found.push({ from, line, specifier, to: pathIn(folder, resolution.specifier) });
    }
  }
  return found;
}

function urlOf(folder: string, file: string): string {
  return pathToFileURL(join(folder, file)).href;
}

function pathIn(folder: string, url: string | undefined): string | undefined {
  if (url?.startsWith("file:") !== true) return undefined;
  const path = relative(folder, fileURLToPath(url)).split(sep).join("/");
  return path.startsWith("..") || path.startsWith("node_modules/") ? undefined : path;
}
