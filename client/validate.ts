import type { Codec } from "./codec.ts";

/** The longest delay that timers can hold: about 24.8 days. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/** The inclusive bounds of a number. */
export interface NumberBounds {
  /** The smallest value allowed. */
  readonly min?: number | undefined;
  /** The largest value allowed. */
  readonly max?: number | undefined;
}

/** The bounds of a string, in UTF-16 code units. */
export interface StringBounds {
  /** The fewest characters allowed. @default 1 */
  readonly minLength?: number | undefined;
  /** The most characters allowed. @default no bound */
  readonly maxLength?: number | undefined;
}

/**
 * Returns `value` as a duration in milliseconds.
 *
 * Bounds default to 0 and 2³¹ - 1, the longest delay that a timer can hold. Fractions are allowed.
 *
 * @throws {TypeError} when it is not a number.
 * @throws {RangeError} when it is NaN or outside the bounds.
 */
export function checkDurationMs(name: string, value: unknown, bounds: NumberBounds = {}): number {
  const { min = 0, max = MAX_TIMER_MS } = bounds;
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number of milliseconds, got ${describe(value)}`);
  }
  if (!(value >= min && value <= max)) {
    throw new RangeError(`${name} must be from ${min} to ${max} ms, got ${value}`);
  }
  return value;
}

/**
 * Returns `value` as a safe integer within the bounds, which default to 0 and 2⁵³ - 1.
 *
 * @throws {TypeError} when it is not a number.
 * @throws {RangeError} when it is not an integer or outside the bounds.
 */
export function checkInteger(name: string, value: unknown, bounds: NumberBounds = {}): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds;
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be an integer, got ${describe(value)}`);
  }
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, got ${value}`);
  }
  return value;
}

/**
 * Returns `value` as a string within the bounds; an empty string is refused unless
 * `minLength` is 0.
 *
 * @throws {TypeError} when it is not a string, or empty although it must not be.
 * @throws {RangeError} when it is too short or too long.
 */
export function checkString(name: string, value: unknown, bounds: StringBounds = {}): string {
  const { minLength = 1, maxLength = Infinity } = bounds;
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, got ${describe(value)}`);
  }
  if (value === "" && minLength > 0) throw new TypeError(`${name} must not be empty`);
  if (value.length < minLength || value.length > maxLength) {
    throw new RangeError(
      `${name} must have from ${minLength} to ${maxLength} characters, got ${value.length}`,
    );
  }
  return value;
}

/**
 * Returns `value` as a boolean.
 *
 * @throws {TypeError} when it is anything but `true` or `false`.
 */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") {
    throw new TypeError(`${name} must be true or false, got ${describe(value)}`);
  }
  return value;
}

/**
 * Returns `value` as one of a few strings.
 *
 * @throws {TypeError} when it is anything else.
 */
export function checkOneOf<V extends string>(
  name: string,
  value: unknown,
  allowed: readonly V[],
): V {
  if (allowed.includes(value as V)) return value as V;
  const known = allowed.map((one) => JSON.stringify(one)).join(", ");
  throw new TypeError(`${name} must be one of ${known}, got ${describe(value)}`);
}

/**
 * Returns `value` as a function of type `F`; the signature itself cannot be checked.
 *
 * @throws {TypeError} when it is not a function.
 */
export function checkFunction<F extends (...args: never[]) => unknown>(
  name: string,
  value: unknown,
): F {
  if (typeof value !== "function") {
    throw new TypeError(`${name} must be a function, got ${describe(value)}`);
  }
  return value as F;
}

/**
 * Returns `value` as an `AbortSignal`; `undefined` is allowed.
 *
 * @throws {TypeError} when it is anything else.
 */
export function checkSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw new TypeError(`${name} must be an AbortSignal, got ${describe(value)}`);
}

/**
 * Returns `value` as a codec; what it makes of values and bytes cannot be checked.
 *
 * @throws {TypeError} when it lacks `contentType`, `encode` or `decode`.
 */
export function checkCodec<T>(name: string, value: unknown): Codec<T> {
  const candidate = value as Partial<Codec<T>> | null | undefined;
  const fits = typeof candidate?.contentType === "string" &&
    typeof candidate.encode === "function" && typeof candidate.decode === "function";
  if (!fits) {
    throw new TypeError(`${name} must be a codec such as json(), got ${describe(value)}`);
  }
  return candidate as Codec<T>;
}

/**
 * Returns `value` as an object that can hold options.
 *
 * @throws {TypeError} when it is `null`, an array, a function or no object at all.
 */
export function checkObject(name: string, value: unknown): object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${name} must be an object, got ${describe(value)}`);
  }
  return value;
}

/**
 * Returns `options` (or an empty object when it is undefined) once every key in it is known.
 *
 * A misspelled option is an error by name instead of a silent default.
 *
 * @throws {TypeError} when it is not a plain object or has a key that is not allowed.
 */
export function checkOptions<O extends object>(
  what: string,
  options: O | undefined,
  allowedKeys: readonly (keyof O & string)[],
): O | Record<string, never> {
  if (options === undefined) return {};
  checkObject(`${what} options`, options);
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

/** Describes a value for an error message: short, on one line, and without its contents. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") {
    return value.length > 64
      ? `a string of ${value.length} characters`
      : `the string ${JSON.stringify(value)}`;
  }
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return `an object (${className(value)})`;
  if (typeof value === "function") return "a function";
  return typeof value === "symbol" ? "a symbol" : String(value);
}

function className(value: object): string {
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto === null) return "without prototype";
  const constructor: unknown = (proto as { constructor?: unknown }).constructor;
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "Object";
}
