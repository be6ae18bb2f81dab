import { readFileSync } from "node:fs";
import { logger } from "./_logger.ts";
import { JsflowError } from "./errors.ts";

/** Where a secret comes from and what makes it usable. */
export interface SecretOrigin<T> {
  /** The option, for errors: "pass". */
  readonly name: string;
  /** Reads the secret; what it throws may be about secrets, and is not shown. */
  readonly read: () => unknown;
  /** Returns the secret in the form that is needed, or undefined when it is not usable. */
  readonly parse: (value: unknown) => T | undefined;
  /** What `parse` expects, for errors: "a non-empty string". */
  readonly expected: string;
}

/**
 * A secret that is read anew at each use.
 *
 * The last good one stays in use when reading fails: a throw while the native client authenticates
 * would close the connection for good.
 */
export class SecretSource<T> {
  #origin: SecretOrigin<T> | undefined;
  #last: T | undefined;

  constructor(origin: SecretOrigin<T>) {
    this.#origin = origin;
  }

  /**
   * Reads it anew.
   *
   * @throws {JsflowError} `authorization` when that fails, without the secret.
   */
  read(): T {
    if (this.#origin === undefined) throw unusable("secret", "the client is closed");
    const { name, read, parse, expected } = this.#origin;
    this.#last = parseSecret(name, readValue(name, read), { parse, expected });
    return this.#last;
  }

  /** Reads it anew, or returns the last good one; undefined when there never was one. */
  current(): T | undefined {
    try {
      return this.read();
    } catch (error) {
      if (this.#origin !== undefined) {
        const reason = error instanceof Error ? error.message : "";
        logger.warn("credentials could not be read anew: {reason}", {
          secret: this.#origin.name,
          reason,
          lastInUse: this.#last !== undefined,
        });
      }
      return this.#last;
    }
  }

  /** Drops the secret and the way to it. */
  forget(): void {
    this.#origin = undefined;
    this.#last = undefined;
  }
}

/**
 * Returns `value` as a path, which may be shown.
 *
 * @throws {TypeError} when it is none, or rather the content of a file.
 */
export function checkPath(name: string, value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw new TypeError(`${name} must be the path of a file, got ${kindOf(value)}`);
  }
  if (!/[\r\n]|-----BEGIN/.test(value)) return value;
  throw new TypeError(`${name} must be the path of a file, got several lines of text`);
}

/** Reads a file anew at each call; small and rare enough not to matter that everything waits. */
export function fileReader(path: string): () => string {
  return () => readFileSync(path, "utf8");
}

/** What a value is that must not be shown. */
export function kindOf(value: unknown): string {
  if (typeof value === "string") return value === "" ? "an empty one" : "another string";
  if (value instanceof Promise) return "a promise";
  return value === null ? "null" : typeof value;
}

/**
 * Returns `value` as an object. Unlike the general check it never shows it: an address with its
 * password, or a key, is what is most easily given instead.
 *
 * @throws {TypeError} when it is none.
 */
export function checkSecretObject(name: string, value: unknown): object {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TypeError(`${name} must be an object, got ${bareKindOf(value)}`);
}

/**
 * Returns `value` as a function; never shows it.
 *
 * @throws {TypeError} when it is none.
 */
export function checkSecretFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`${name} must be a function, got ${bareKindOf(value)}`);
}

/** The type of a value, and nothing of its content. */
export function bareKindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function readValue(name: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    const code = (error as { code?: unknown } | null | undefined)?.code;
    const kind = error instanceof Error ? error.name : "something that is no Error";
    const why = typeof code === "string" ? `reading failed with ${code}` : `it threw ${kind}`;
    throw unusable(name, why); // without the cause: its text may quote the secret
  }
}

function parseSecret<T>(
  name: string,
  value: unknown,
  { parse, expected }: Pick<SecretOrigin<T>, "parse" | "expected">,
): T {
  const parsed = parse(value);
  if (parsed !== undefined) return parsed;
  // Nobody will await it, and its failure must not end the process.
  if (value instanceof Promise) value.catch(() => {});
  throw unusable(name, `it must be ${expected}, got ${kindOf(value)}`);
}

function unusable(name: string, why: string): JsflowError {
  return new JsflowError(
    "authorization",
    `cannot authenticate: ${name} is not usable: ${why}; check where it comes from`,
  );
}
