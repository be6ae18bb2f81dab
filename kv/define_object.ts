import type { Codec } from "../client/codec.ts";
import {
  checkCodec,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  describe,
} from "../client/validate.ts";
import { decodeValue } from "./_value_codec.ts";
import type { ValueAddress } from "./keyed_codec.ts";

const MAX_SCOPE_LENGTH = 64;
const MAX_VERSION = 999_999;

/** How states of one older version are read; made by {@link migrateFrom}. */
export interface Migration<T> {
  /** The version that it reads. */
  readonly version: number;
  /** Turns what is stored into a state of today. */
  read(bytes: Uint8Array, address: ValueAddress): T;
}

/** How states were encoded at the time, and what becomes of them. */
export interface MigrationSteps<Old, T> {
  /** How states of that version became bytes. */
  readonly codec: Codec<Old>;
  /** Turns such a state into one of today; must be free of side effects. */
  readonly migrate: (old: Old) => T;
}

/** A class of stored objects. */
export interface ObjectDefinition<T, Change, Id = string> {
  /** What their keys begin with: letters, digits, `_` and `-`. No two classes may share one. */
  readonly scope: string;
  /** The version of their encoding, from 1 on; to be raised when the codec's form changes. */
  readonly version: number;
  /** How states become bytes today. */
  readonly codec: Codec<T>;
  /** The key of an object within the scope; different objects need different keys. */
  readonly key: (id: Id) => string;
  /** A fresh state, of an object that was never changed. */
  readonly initial: (id: Id) => T;
  /**
   * Returns the state after a change. It may be called several times for one change, with newer
   * states, and must be free of side effects; what it throws ends the update.
   */
  readonly apply: (state: T, change: Change) => T;
  /** How states of older versions are read. @default none */
  readonly migrations?: readonly Migration<T>[] | undefined;
}

const KEYS: readonly (keyof ObjectDefinition<unknown, unknown>)[] = [
  "scope",
  "version",
  "codec",
  "key",
  "initial",
  "apply",
  "migrations",
];

/**
 * Describes a class of stored objects, for `openObjects`.
 *
 * Objects of several classes can share a bucket: their scope is part of their keys. Each value says
 * which version it is stored in. When the form of the state changes, raise `version` and say with
 * {@link migrateFrom} how the older ones are read; they are stored anew at their next update.
 *
 * @throws {TypeError | RangeError} when a part is missing or makes no sense.
 *
 * @example
 * ```ts
 * import { json } from "@x/jsflow/client";
 * import { defineObject, migrateFrom } from "@x/jsflow/kv";
 *
 * interface Cart {
 *   items: Record<string, number>;
 * }
 * type CartChange = { add: string; count: number } | { remove: string };
 *
 * const Carts = defineObject<Cart, CartChange>({
 *   scope: "cart",
 *   version: 2,
 *   codec: json<Cart>(),
 *   key: (id) => id,
 *   initial: () => ({ items: {} }),
 *   apply({ items }, change) {
 *     if ("add" in change) return { items: { ...items, [change.add]: change.count } };
 *     const { [change.remove]: _, ...rest } = items;
 *     return { items: rest };
 *   },
 *   migrations: [
 *     migrateFrom(1, {
 *       codec: json<{ names: string[] }>(), // before there were counts
 *       migrate: ({ names }) => ({ items: Object.fromEntries(names.map((name) => [name, 1])) }),
 *     }),
 *   ],
 * });
 * console.log(Carts.apply(Carts.initial("c1"), { add: "apple", count: 2 }));
 * ```
 */
export function defineObject<T, Change, Id = string>(
  definition: ObjectDefinition<T, Change, Id>,
): ObjectDefinition<T, Change, Id> {
  const what = "defineObject";
  if (definition === undefined) throw new TypeError(`${what} needs a definition`);
  const { scope, version, codec, key, initial, apply, migrations = [] } = checkOptions(
    what,
    definition,
    KEYS,
  );
  return Object.freeze({
    scope: checkScope(`${what}: scope`, scope),
    version: checkVersion(`${what}: version`, version),
    codec: checkCodec<T>(`${what}: codec`, codec),
    key: checkFunction<typeof definition.key>(`${what}: key`, key),
    initial: checkFunction<typeof definition.initial>(`${what}: initial`, initial),
    apply: checkFunction<typeof definition.apply>(`${what}: apply`, apply),
    migrations: checkMigrations<T>(`${what}: migrations`, migrations, definition.version),
  });
}

/**
 * Says how states of an older version are read; straight to the form of today, whatever lies
 * between.
 *
 * @throws {TypeError | RangeError} when a part is missing or makes no sense.
 *
 * @example
 * ```ts
 * import { json } from "@x/jsflow/client";
 * import { migrateFrom } from "@x/jsflow/kv";
 *
 * const fromCents = migrateFrom(1, {
 *   codec: json<{ cents: number }>(),
 *   migrate: ({ cents }) => ({ amount: cents / 100 }),
 * });
 * console.log(fromCents.version);
 * ```
 */
export function migrateFrom<Old, T>(version: number, steps: MigrationSteps<Old, T>): Migration<T> {
  const what = "migrateFrom";
  checkVersion(`${what}: version`, version);
  if (steps === undefined) throw new TypeError(`${what} needs codec and migrate`);
  const given = checkOptions(what, steps, ["codec", "migrate"]);
  const codec = checkCodec<Old>(`${what}: codec`, given.codec);
  const migrate = checkFunction<(old: Old) => T>(`${what}: migrate`, given.migrate);
  return Object.freeze({
    version,
    read: (bytes: Uint8Array, address: ValueAddress) => migrate(decodeValue(codec, bytes, address)),
  });
}

function checkScope(name: string, value: unknown): string {
  const scope = checkString(name, value, { maxLength: MAX_SCOPE_LENGTH });
  if (/^[A-Za-z0-9_-]+$/.test(scope)) return scope;
  throw new TypeError(`${name} must be made of letters, digits, _ and -, got ${describe(scope)}`);
}

function checkVersion(name: string, value: unknown): number {
  return checkInteger(name, value, { min: 1, max: MAX_VERSION });
}

function checkMigrations<T>(
  name: string,
  value: unknown,
  version: number,
): readonly Migration<T>[] {
  if (!Array.isArray(value)) {
    throw new TypeError(`${name} must be an array, got ${describe(value)}`);
  }
  const migrations = value as Partial<Migration<T>>[];
  for (const [index, migration] of migrations.entries()) {
    if (typeof migration?.read !== "function") {
      const got = describe(migration);
      throw new TypeError(`${name}[${index}] must be made by migrateFrom, got ${got}`);
    }
    checkInteger(`${name}[${index}].version`, migration.version, { min: 1, max: version - 1 });
    const isTwin = migrations.slice(0, index).some((other) => other.version === migration.version);
    if (isTwin) throw new TypeError(`${name} has version ${migration.version} twice`);
  }
  return Object.freeze([...value]);
}
