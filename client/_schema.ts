import { JsflowError } from "./errors.ts";
import type { StandardSchema, StandardSchemaIssue } from "./standard_schema.ts";
import { describe } from "./validate.ts";

const MAX_ISSUES_SHOWN = 5;

/** Returns the schema once it is known to be one; ArkType's are functions, so both are allowed. */
export function checkSchema<T>(schema: StandardSchema<T, T>): StandardSchema<T, T> {
  const holder: unknown = schema;
  const usable = (typeof holder === "object" && holder !== null) || typeof holder === "function";
  const props = usable ? (schema as Partial<StandardSchema<T, T>>)["~standard"] : undefined;
  if (props?.version !== 1 || typeof props.validate !== "function") {
    throw new TypeError(`json needs a Standard Schema (version 1), got ${describe(schema)}`);
  }
  return schema;
}

/** Returns the value as the schema returns it; `action` begins the message of `invalid_payload`. */
export function validateBySchema<T>(
  schema: StandardSchema<T, T>,
  value: unknown,
  action: string,
): T {
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    result.catch(() => {}); // its outcome is not used: the TypeError below says why
    throw new TypeError(`cannot ${action}: the schema is asynchronous; use a synchronous one`);
  }
  if (result.issues === undefined) return result.value;
  throw new JsflowError(
    "invalid_payload",
    `cannot ${action}: the schema rejects it: ${formatIssues(result.issues)}`,
    { cause: result.issues },
  );
}

function formatIssues(issues: readonly StandardSchemaIssue[]): string {
  const shown = issues.slice(0, MAX_ISSUES_SHOWN).map(formatIssue);
  const hidden = issues.length - shown.length;
  return shown.join("; ") + (hidden > 0 ? `; and ${hidden} more` : "");
}

function formatIssue(issue: StandardSchemaIssue): string {
  const path = (issue.path ?? []).map((segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    return typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  });
  return `$${path.join("")}: ${issue.message}`;
}
