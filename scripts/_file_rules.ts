/** The rules in CONTRIBUTING.md that concern one file at a time. */
import { isLibrary, isTest } from "./_layers.ts";
import { lineOf, parseTypeScript, type Problem, walk } from "./_syntax.ts";

/** A file with more lines than this holds two concepts. */
const MAX_LINES = 400;

/** The mark of unfinished work, spelled so that this file does not hold it. */
const unfinished = new RegExp(
  `\\b(${["TO", "FIX"].map((a, i) => a + ["DO", "ME"][i]).join("|")})\\b`,
);

/** Checks one source file. */
export function checkFile(file: string, source: string): Problem[] {
  const generated = file.includes("/gen/");
  const problems: Problem[] = [];
  if (!generated && !isTest(file)) problems.push(...checkLength(file, source));
  if (!generated) problems.push(...checkUnfinished(file, source));
  try {
    problems.push(...checkSyntax(file, source));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    problems.push({ file, line: 1, message: `can't be parsed without its types: ${message}` });
  }
  return problems;
}

function checkLength(file: string, source: string): Problem[] {
  const lines = source.split("\n").length - 1;
  if (lines <= MAX_LINES) return [];
  return [{ file, line: MAX_LINES + 1, message: `has ${lines} lines, allowed are ${MAX_LINES}` }];
}

function checkUnfinished(file: string, source: string): Problem[] {
  return source.split("\n").flatMap((text, index) => {
    const mark = text.match(unfinished)?.[0];
    return mark === undefined
      ? []
      : [{ file, line: index + 1, message: `holds a ${mark}: do it, or describe it in an issue` }];
  });
}

function checkSyntax(file: string, source: string): Problem[] {
  const problems: Problem[] = [];
  for (const node of walk(parseTypeScript(source))) {
    const line = lineOf(node);
    if (node.type === "VariableDeclaration" && node.kind.endsWith("using") && isOurs(file)) {
      const message = `"${node.kind}" can't be parsed by Node 22: use try and finally`;
      problems.push({ file, line, message });
    }
    if (node.type === "Identifier" && node.name === "Deno" && isOurs(file)) {
      problems.push({ file, line, message: `uses the Deno global: use node: built-ins` });
    }
  }
  return problems;
}

/** Everything but examples, which show what users may write. */
function isOurs(file: string): boolean {
  return isLibrary(file) || isTest(file) || file.startsWith("scripts/");
}
