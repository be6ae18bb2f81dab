/** The rules for `mod.ts` files and for the list of exports. */
import { posix } from "node:path";
import { layers } from "./_layers.ts";
import type { DenoConfig } from "./_package.ts";
import type { Problem } from "./_syntax.ts";

/** Checks that every folder of the library that exists is exported as `./<folder>`, and no more. */
export function checkExportMap(config: DenoConfig, files: readonly string[]): Problem[] {
  const problems: Problem[] = [];
  const complain = (message: string) => problems.push({ file: "deno.json", line: 1, message });
  for (const folder of Object.keys(layers)) {
    if (!files.some((file) => file.startsWith(`${folder}/`) && file.endsWith(".ts"))) continue;
    const target = config.exports[`./${folder}`];
    if (target === undefined) complain(`exports: "./${folder}" is missing`);
    else if (target !== `./${folder}/mod.ts`) complain(`exports: "./${folder}" is ${target}`);
  }
  if (config.exports["."] !== "./mod.ts") complain(`exports: "." is not ./mod.ts`);
  for (const [name, target] of Object.entries(config.exports)) {
    if (!files.includes(posix.normalize(target))) complain(`exports: "${name}": no file ${target}`);
  }
  return problems;
}

interface Entry {
  readonly name: string;
  readonly offset: number;
}

const docPattern = /^\/\*\*(?:(?!\*\/)[\s\S])*@module\b(?:(?!\*\/)[\s\S])*\*\/\s*/;
const exportPattern = /export\s+(?:type\s+)?\{([^{}]*)\}\s*from\s*"([^"]+)";\s*/y;

/** Checks that a `mod.ts` is its `@module` doc and sorted, named re-exports, and nothing else. */
export function checkEntryPoint(file: string, source: string): Problem[] {
  const problems: Problem[] = [];
  const complain = (offset: number, message: string) =>
    problems.push({ file, line: source.slice(0, offset).split("\n").length, message });
  let at = source.match(docPattern)?.[0].length ?? 0;
  if (at === 0) complain(0, "does not begin with a /** … @module */ doc");
  const specifiers: Entry[] = [];
  while (at < source.length) {
    exportPattern.lastIndex = at;
    const match = exportPattern.exec(source);
    if (match === null) {
      complain(at, "holds something else than named re-exports");
      break;
    }
    checkNames(names(match, at), complain);
    specifiers.push({ name: match[2] ?? "", offset: at });
    at += match[0].length;
  }
  const isFile = ({ name }: Entry) => name.startsWith(".");
  for (const group of [specifiers.filter(isFile), specifiers.filter((entry) => !isFile(entry))]) {
    checkSorted(group, complain, "re-exports are not sorted");
  }
  return problems;
}

type Complain = (offset: number, message: string) => void;

function checkNames(entries: readonly Entry[], complain: Complain): void {
  const renamed = entries.find(({ name }) => /\bdefault\b/.test(name));
  if (renamed !== undefined) complain(renamed.offset, "uses a default export");
  checkSorted(entries, complain, "names are not sorted");
}

function names(match: RegExpExecArray, at: number): Entry[] {
  const start = at + match[0].indexOf("{") + 1;
  return [...(match[1] ?? "").matchAll(/[^,]+/g)].map((part) => ({
    name: part[0].trim().replace(/^type\s+/, ""),
    offset: start + part.index + part[0].search(/\S|$/),
  })).filter(({ name }) => name !== "");
}

function checkSorted(entries: readonly Entry[], complain: Complain, message: string): void {
  const unordered = entries.find(({ name }, index) => {
    const before = entries[index - 1]?.name;
    return before !== undefined && compare(before, name) > 0;
  });
  if (unordered !== undefined) complain(unordered.offset, `${message}: "${unordered.name}"`);
}

function compare(a: string, b: string): number {
  const [x, y] = [a.toLowerCase(), b.toLowerCase()];
  return x < y ? -1 : x > y ? 1 : 0;
}
