/** Reading the JUnit reports of the three test runners, which differ in nesting and naming. */

/** One test of a report. */
export interface TestCase {
  readonly name: string;
  /** The file as the runner names it; "" when it does not say. */
  readonly file: string;
  readonly status: "passed" | "failed" | "skipped";
  /** The failure's text. */
  readonly detail: string;
}

const anyAttributes = `(?:[^">]|"[^"]*")*?`;
const casePattern = new RegExp(
  `<testcase\\b(${anyAttributes})(?:/>|>([\\s\\S]*?)</testcase>)`,
  "g",
);

/** The tests of a JUnit report; groups are left out, since their members are counted. */
export function parseJunit(xml: string): TestCase[] {
  const found: TestCase[] = [];
  for (const [, attributes = "", body = ""] of xml.matchAll(casePattern)) {
    const file = attribute(attributes, "file") || attribute(attributes, "classname");
    found.push({
      name: attribute(attributes, "name"),
      file: /[/\\.]/.test(file) ? file : "",
      status: /<(failure|error)\b/.test(body) ? "failed" : statusWithoutFailure(body),
      detail: failureText(body),
    });
  }
  return withoutGroups(found);
}

function statusWithoutFailure(body: string): "passed" | "skipped" {
  return /<skipped\b/.test(body) ? "skipped" : "passed";
}

/**
 * Deno reports a parent test beside its steps, which it calls "parent > step"; only the parent
 * names the right file when it is a `describe`.
 */
function withoutGroups(cases: readonly TestCase[]): TestCase[] {
  const files = new Map(cases.map(({ name, file }) => [name, file]));
  const parents = new Set(cases.flatMap(({ name }) => ancestors(name)));
  const isGroup = ({ name, status, detail }: TestCase) =>
    parents.has(name) && (status !== "failed" || /^\d+ test steps? failed/.test(detail));
  return cases.filter((test) => !isGroup(test)).map((test) => {
    const outermost = ancestors(test.name).find((name) => files.has(name));
    return outermost === undefined ? test : { ...test, file: files.get(outermost) ?? test.file };
  });
}

/** "a > b > c" has the ancestors "a" and "a > b". */
function ancestors(name: string): string[] {
  return [...name.matchAll(/ > /g)].map(({ index }) => name.slice(0, index));
}

function attribute(attributes: string, name: string): string {
  const match = attributes.match(new RegExp(`(?:^|\\s)${name}="([^"]*)"`));
  return unescapeXml(match?.[1] ?? "");
}

function failureText(body: string): string {
  const match = body.match(
    new RegExp(`<(?:failure|error)\\b(${anyAttributes})(?:/>|>([\\s\\S]*?)</(?:failure|error)>)`),
  );
  if (match === null) return "";
  return unescapeXml(match[2] ?? "").trim() || attribute(match[1] ?? "", "message");
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};

function unescapeXml(text: string): string {
  // Node 22 escapes attribute values twice.
  return unescapeOnce(text.replaceAll("&amp;", "&"));
}

function unescapeOnce(text: string): string {
  return text.replace(/&(#x?[\da-f]+|\w+);/gi, (whole, entity: string) => {
    if (!entity.startsWith("#")) return entities[entity] ?? whole;
    const hex = /^#x/i.test(entity);
    return String.fromCodePoint(parseInt(entity.slice(hex ? 2 : 1), hex ? 16 : 10));
  });
}
