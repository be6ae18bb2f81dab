/**
 * Returns `options` (or an empty object when it is undefined) once every key in it is known.
 *
 * @throws {TypeError} when it is not a plain object or has a key that is not allowed.
 */
export function checkKnownKeys<O extends object>(
  what: string,
  options: O | undefined,
  allowedKeys: readonly (keyof O & string)[],
): O | Record<string, never> {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${what} options must be an object, got ${kindOf(options)}`);
  }
  const allowed: readonly string[] = allowedKeys;
  for (const key of Object.keys(options)) {
    if (!allowed.includes(key)) {
      throw new TypeError(
        `${what} does not know the option ${JSON.stringify(key)}; it takes ${allowed.join(", ")}`,
      );
    }
  }
  return options;
}

/** Returns a boolean, or the default when it is undefined. @throws {TypeError} */
export function checkFlag(name: string, value: unknown, byDefault: boolean): boolean {
  if (value === undefined) return byDefault;
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name} must be true or false, got ${kindOf(value)}`);
}

/** Returns an object that has the method, or undefined. @throws {TypeError} */
export function checkHasMethod<T>(
  name: string,
  value: T | undefined,
  method: string,
): T | undefined {
  if (value === undefined) return undefined;
  const candidate = value as Record<string, unknown> | null;
  if (typeof candidate === "object" && typeof candidate?.[method] === "function") return value;
  throw new TypeError(`${name} must be an object with a method ${method}, got ${kindOf(value)}`);
}

/** Refuses anything but a function. @throws {TypeError} */
export function checkIsFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`${name} must be a function, got ${kindOf(value)}`);
}

/** Names the kind of a value for an error message, never its contents. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return `a string of ${value.length} characters`;
  if (typeof value === "number") return String(value);
  if (value === undefined) return "undefined";
  return `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}
