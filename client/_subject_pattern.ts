import { describe } from "./validate.ts";

/** A part of a pattern, between two dots. */
export type PatternPart =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one"; readonly name: string }
  | { readonly kind: "rest"; readonly name: string };

/** Whitespace of any script, control and format characters: stored literally, never matched. */
// deno-lint-ignore no-control-regex
const FORBIDDEN = /[\s\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060\ufeff]/;
const TOKEN = /^\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}$/;

/** Splits a pattern at its dots, the three of `{rest...}` excepted, and checks each part. */
export function parsePattern(pattern: string): PatternPart[] {
  if (typeof pattern !== "string") {
    throw new TypeError(`a subject pattern must be a string, got ${describe(pattern)}`);
  }
  const texts = pattern.match(/(?:\{[^{}]*\}|[^.])+|(?<=^|\.)(?=\.|$)/g) ?? [""];
  const parts = texts.map((text) => parsePart(text, pattern));
  checkRest(parts, pattern);
  checkNames(parts, pattern);
  return parts;
}

function parsePart(text: string, pattern: string): PatternPart {
  if (text === "") throw refuse(pattern, "has an empty token");
  const match = TOKEN.exec(text);
  if (match !== null) {
    return { kind: match[2] === undefined ? "one" : "rest", name: match[1] ?? "" };
  }
  if (/[{}]/.test(text)) {
    throw refuse(pattern, "must have braces around whole tokens, as in {name} or {name...}");
  }
  if (/[*>]/.test(text)) throw refuse(pattern, "must use {name} or {name...} instead of * and >");
  if (FORBIDDEN.test(text)) throw refuse(pattern, "has whitespace or control characters");
  if (!text.isWellFormed()) throw refuse(pattern, "has a lone surrogate");
  return { kind: "literal", text };
}

function checkRest(parts: readonly PatternPart[], pattern: string): void {
  const early = parts.slice(0, -1).some((part) => part.kind === "rest");
  if (early) throw refuse(pattern, "may have {name...} at its end only");
}

function checkNames(parts: readonly PatternPart[], pattern: string): void {
  const names = parts.flatMap((part) => part.kind === "literal" ? [] : [part.name]);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw refuse(pattern, `names the token ${twice} twice`);
}

function refuse(pattern: string, why: string): TypeError {
  return new TypeError(`subject pattern ${describe(pattern)} ${why}`);
}
