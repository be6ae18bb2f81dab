import { decodeJson, encodeJson } from "./_json_text.ts";
import { checkSchema, validateBySchema } from "./_schema.ts";
import type { Codec } from "./codec.ts";
import type { StandardSchema } from "./standard_schema.ts";

const RULES = { lossless: false } as const;

/**
 * Makes a JSON codec; without a schema, `T` is taken on trust.
 *
 * Encoding refuses, with `JsflowError` code `encode_failed` and the path, what JSON would turn into
 * something else without a word: bigints, integers beyond ±(2⁵³ - 1), NaN and infinities, symbols,
 * functions and `undefined` inside arrays, Maps, Sets, typed arrays, cycles, and `__proto__` keys.
 * `toJSON` is honoured (a Date becomes a string) and must be free of side effects, since it is
 * called twice; properties that are `undefined` or functions are left out.
 *
 * Decoding refuses invalid UTF-8 and invalid JSON with code `decode_failed`, and drops every
 * `__proto__` key, at any depth, so that no later copy or merge of the value can change a
 * prototype.
 *
 * @example
 * ```ts
 * import { json } from "@x/jsflow/client";
 *
 * const codec = json<{ id: string }>();
 * console.log(codec.decode(codec.encode({ id: "o-1" })).id);
 * ```
 */
export function json<T>(): Codec<T>;
/**
 * Makes a JSON codec that checks values by a Standard Schema, when encoding and when decoding.
 *
 * The schema's input and output types must be the same, and it must be synchronous: an
 * asynchronous one throws `TypeError` at its first use. What the schema returns is what travels,
 * so defaults are filled in and unknown keys dropped if it says so; a schema that transforms
 * values would do so twice. A rejected value raises `JsflowError` with code `invalid_payload`,
 * whose message lists the issues and whose `cause` holds them.
 *
 * @throws {TypeError} when `schema` is not a Standard Schema.
 *
 * @example
 * ```ts
 * import { json } from "@x/jsflow/client";
 * import * as v from "valibot";
 *
 * const codec = json(v.object({ id: v.string(), amount: v.number() }));
 * console.log(codec.encode({ id: "o-1", amount: 3 }).length);
 * ```
 */
export function json<T>(schema: StandardSchema<T, T>): Codec<T>;
export function json<T>(...given: [] | [schema: StandardSchema<T, T>]): Codec<T> {
  return given.length === 0 ? plainJson<T>() : validatedJson(checkSchema(given[0]));
}

function plainJson<T>(): Codec<T> {
  return {
    contentType: "application/json",
    encode: (value) => encodeJson(value, RULES),
    decode: (bytes) => decodeJson(bytes) as T,
  };
}

function validatedJson<T>(schema: StandardSchema<T, T>): Codec<T> {
  return {
    contentType: "application/json",
    encode: (value) => encodeJson(validateBySchema(schema, value, "encode the value"), RULES),
    decode: (bytes) => validateBySchema(schema, decodeJson(bytes), "decode the payload"),
  };
}
