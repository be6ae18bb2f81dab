/** The import rules in CONTRIBUTING.md. */
import { posix } from "node:path";
import type { Import } from "./_imports.ts";
import type { Problem } from "./_syntax.ts";

/** The folders of the library, and which other folders each may import. */
export const layers: Readonly<Record<string, readonly string[]>> = {
  trace: [],
  client: ["trace"],
  kv: ["trace", "client"],
  broker: ["trace", "client", "kv"],
  flow: ["trace", "client", "kv", "broker"],
  durable: ["trace", "client", "kv", "broker"],
  testing: ["trace", "client", "kv", "broker", "flow", "durable"],
};

/** Folders of programs around the library, which use what users can use. */
const programFolders = ["examples", "bench", "scripts", "tests"];

/** Whether a file is a test, a benchmark or a helper of tests. */
export function isTest(file: string): boolean {
  return /_(test|bench)\.ts$/.test(file) || /(^|\/)(tests|testdata)\//.test(file);
}

/** The first folder of a path; "" for a file in the root. */
export function topFolder(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

/** Whether a file belongs to the library's folders or is its root module. */
export function isLibrary(file: string): boolean {
  return topFolder(file) in layers || file === "mod.ts";
}

/** Checks each import and the graph that they form. */
export function checkImports(imports: readonly Import[]): Problem[] {
  const problems: Problem[] = [];
  for (const edge of imports) {
    const message = edge.to === undefined ? undefined : refusal(edge.from, edge.to);
    if (message !== undefined) problems.push({ file: edge.from, line: edge.line, message });
  }
  return [...problems, ...findCircles(imports)];
}

function refusal(from: string, to: string): string | undefined {
  if (isPrivate(to) && posix.dirname(from) !== posix.dirname(to)) {
    return `imports ${to}, which belongs to its folder alone`;
  }
  if (isTest(to) && !isTest(from)) return `imports ${to}, which is part of the tests`;
  if (!isLibrary(to)) return isLibrary(from) ? `imports ${to}, outside the library` : undefined;
  return isLibrary(from) ? refusalInside(from, to) : refusalOutside(from, to);
}

function isPrivate(file: string): boolean {
  return posix.basename(file).startsWith("_");
}

function refusalInside(from: string, to: string): string | undefined {
  const [source, target] = [topFolder(from), topFolder(to)];
  if (from === "mod.ts") {
    return target === "testing" ? `imports ${to}: testing/ has its own entry point` : undefined;
  }
  if (posix.basename(to) === "mod.ts" && posix.basename(from) !== "mod_test.ts") {
    return `imports ${to}: import the file that declares the name`;
  }
  const allowed = [source, ...layers[source] ?? [], ...(isTest(from) ? ["testing"] : [])];
  if (allowed.includes(target)) return undefined;
  return `imports ${to}: ${source}/ may import only ${allowed.slice(1).join(", ") || "itself"}`;
}

function refusalOutside(from: string, to: string): string | undefined {
  if (!programFolders.includes(topFolder(from))) return "is in no known folder";
  if (posix.basename(to) === "mod.ts" || topFolder(from) !== "examples") return undefined;
  return `imports ${to}: examples use what users can import, through a mod.ts`;
}

/** Every import circle once, reported at the import that closes it. */
function findCircles(imports: readonly Import[]): Problem[] {
  const edges = Map.groupBy(imports, (edge) => edge.from);
  const state = new Map<string, "open" | "done">();
  const problems: Problem[] = [];
  const path: string[] = [];
  const visit = (file: string) => {
    state.set(file, "open");
    path.push(file);
    for (const { to, line } of edges.get(file) ?? []) {
      if (to === undefined) continue;
      if (state.get(to) === "open") {
        const circle = [...path.slice(path.indexOf(to)), to].join(" -> ");
        problems.push({ file, line, message: `closes an import circle: ${circle}` });
      } else if (!state.has(to)) visit(to);
    }
    path.pop();
    state.set(file, "done");
  };
  for (const file of edges.keys()) if (!state.has(file)) visit(file);
  return problems;
}
