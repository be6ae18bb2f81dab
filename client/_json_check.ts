import { JsflowError } from "./errors.ts";

/** What a walk through a value allows. */
export interface JsonRules {
  /** Whether each value must come back equal: no class instances, no `toJSON`. */
  readonly lossless: boolean;
}

/** A walk in progress: the objects above the current value, and the keys that lead to it. */
interface Walk {
  readonly rules: JsonRules;
  readonly ancestors: object[];
  readonly keys: (string | number)[];
}

/**
 * Throws `encode_failed` with the path of the first value that JSON would lose or change.
 *
 * The top-level value must not be `undefined`; callers that allow it check for it first.
 */
export function checkJsonValue(value: unknown, rules: JsonRules): void {
  const walk: Walk = { rules, ancestors: [], keys: [] };
  if (value === undefined) throw refuse(walk, "is undefined", "use null or another codec");
  check(value, walk);
}

function check(value: unknown, walk: Walk): void {
  switch (typeof value) {
    case "number":
      return checkNumber(value, walk);
    case "bigint":
      throw refuse(walk, "is a bigint", "convert it to a string or a number first");
    case "symbol":
      throw refuse(walk, "is a symbol", "leave it out");
    case "function":
      throw refuse(walk, "is a function", "leave it out");
    case "object":
      if (value !== null) checkObject(value, walk);
  }
}

function checkNumber(value: number, walk: Walk): void {
  if (!Number.isFinite(value)) {
    throw refuse(walk, `is ${value}`, "JSON has only finite numbers");
  }
  if (!walk.rules.lossless && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw refuse(
      walk,
      `is the unsafe integer ${value}`,
      "it may already be rounded: keep such numbers as strings",
    );
  }
}

function checkObject(value: object, walk: Walk): void {
  if (walk.ancestors.includes(value)) {
    throw refuse(walk, "is part of a cycle", "JSON holds trees only");
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return checkToJson(value as { toJSON(key: string): unknown }, walk);
  }
  if (ArrayBuffer.isView(value) || value instanceof Map || value instanceof Set) {
    throw refuse(walk, `is a ${value.constructor.name}`, "convert it to an array or object first");
  }
  walk.ancestors.push(value);
  if (Array.isArray(value)) checkArray(value, walk);
  else checkProperties(value, walk);
  walk.ancestors.pop();
}

function checkToJson(value: { toJSON(key: string): unknown }, walk: Walk): void {
  if (walk.rules.lossless) {
    throw refuse(
      walk,
      `is ${instanceName(value)} with toJSON`,
      "it would come back as something else: convert it to plain data first",
    );
  }
  const plain = value.toJSON(String(walk.keys.at(-1) ?? ""));
  if (plain === value) return checkProperties(value, walk);
  walk.ancestors.push(value);
  if (plain !== undefined || typeof walk.keys.at(-1) === "number") checkItem(plain, walk);
  walk.ancestors.pop();
}

function checkArray(values: readonly unknown[], walk: Walk): void {
  if (walk.rules.lossless) checkPlainArray(values, walk);
  for (let index = 0; index < values.length; index++) {
    walk.keys.push(index);
    checkItem(values[index], walk);
    walk.keys.pop();
  }
}

function checkItem(value: unknown, walk: Walk): void {
  if (value === undefined) throw refuse(walk, "is undefined", "use null inside arrays");
  check(value, walk);
}

function checkPlainArray(values: readonly unknown[], walk: Walk): void {
  for (let index = 0; index < values.length; index++) {
    if (index in values) continue;
    walk.keys.push(index);
    throw refuse(walk, "is a hole in a sparse array", "use null inside arrays");
  }
  const extra = Object.keys(values).length !== values.length;
  if (extra || Object.getPrototypeOf(values) !== arrayPrototypeOf(values)) {
    throw refuse(walk, "is an array with properties of its own", "copy it with [...array]");
  }
}

/** The array prototype of whichever realm the array comes from. */
function arrayPrototypeOf(values: readonly unknown[]): unknown {
  const proto: unknown = Object.getPrototypeOf(values);
  return Array.isArray(proto) && Object.hasOwn(proto, "concat") ? proto : Array.prototype;
}

function checkProperties(value: object, walk: Walk): void {
  if (walk.rules.lossless) checkPlainObject(value, walk);
  for (const key of Object.keys(value)) {
    const property = (value as Record<string, unknown>)[key];
    if (property === undefined) continue;
    walk.keys.push(key);
    if (key === "__proto__") throw refuse(walk, "has a key that decoding drops", "rename the key");
    if (walk.rules.lossless || typeof property !== "function") check(property, walk);
    walk.keys.pop();
  }
}

function checkPlainObject(value: object, walk: Walk): void {
  if (!isPlainObject(value)) {
    throw refuse(
      walk,
      `is ${instanceName(value)}`,
      "it would come back as a plain object: convert it first",
    );
  }
  for (const symbol of Object.getOwnPropertySymbols(value)) {
    if (!Object.prototype.propertyIsEnumerable.call(value, symbol)) continue;
    throw refuse(walk, `has the symbol key ${String(symbol)}`, "use a string key");
  }
}

function isPlainObject(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto === null || proto === Object.prototype) return true;
  // The root prototype of another realm, such as a vm context.
  return Object.getPrototypeOf(proto) === null && Object.hasOwn(proto as object, "isPrototypeOf");
}

function instanceName(value: object): string {
  const name: unknown = value.constructor?.name;
  if (typeof name !== "string" || name === "") return "an instance of a class";
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

function refuse(walk: Walk, is: string, advice: string): JsflowError {
  return new JsflowError(
    "encode_failed",
    `cannot encode the value as JSON: ${formatPath(walk.keys)} ${is}; ${advice}`,
  );
}

function formatPath(keys: readonly (string | number)[]): string {
  const path = keys.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
  }).join("");
  return path.length > 256 ? `$${path.slice(0, 120)}…${path.slice(-120)}` : `$${path}`;
}
