/** Parsing TypeScript sources into syntax trees, by blanking out the types and keeping positions. */
import module from "node:module";
import { type AnyNode, type ecmaVersion, type Options, parse, type Program } from "acorn";

/** Something that a check found wrong. */
export interface Problem {
  readonly file: string;
  /** Line, from 1. */
  readonly line: number;
  readonly message: string;
}

/** A problem as "file:line: message". */
export function formatProblem({ file, line, message }: Problem): string {
  return `${file}:${line}: ${message}`;
}

/** Parses a TypeScript source; throws a SyntaxError for one with syntax that can't be erased. */
export function parseTypeScript(source: string): Program {
  return parseJavaScript(module.stripTypeScriptTypes(source, { mode: "strip" }), "latest");
}

/** Parses a JavaScript module; throws a SyntaxError for syntax that is newer than `version`. */
export function parseJavaScript(source: string, version: ecmaVersion): Program {
  const options: Options = { ecmaVersion: version, sourceType: "module", locations: true };
  return parse(source, options);
}

/** Every node of a tree, parents before children. */
export function* walk(node: AnyNode): Generator<AnyNode> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) yield* walk(child);
    }
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/** Line of a node, from 1. */
export function lineOf(node: AnyNode): number {
  return node.loc?.start.line ?? 1;
}
