import type { Codec } from "./codec.ts";
import {
  type OpenTokens,
  type PatternTokens,
  type Subject,
  subject,
  type SubjectParams,
  type TokenName,
  type TokenValues,
} from "./subject.ts";
import { checkCodec, checkObject, checkOptions } from "./validate.ts";

/** How the two payloads of an {@link Endpoint} become bytes. */
export interface EndpointCodecs<Req, Res> {
  /** Of the request. */
  readonly request: Codec<Req>;
  /** Of the reply. */
  readonly reply: Codec<Res>;
}

/**
 * An address that answers: a pattern, the type of its requests and the type of its replies.
 *
 * What {@link Subject} is to messages this is to requests. `K` is the union of the open tokens, or
 * `never` when all are filled; it is invariant, so an endpoint with an open token can be served but
 * not requested. Where an endpoint is exported, its type can be written by hand:
 * `Endpoint<Size, Price, "symbol">`.
 */
export interface Endpoint<Req, Res, K extends string = never> {
  /** The pattern with its open tokens in braces, such as `quote.{symbol}`. */
  readonly pattern: string;
  /** The pattern as it was first described, before any token was filled. */
  readonly template: string;
  /** The subject that a service listens on: `*` and `>` in place of open tokens. */
  readonly filter: string;
  /** How requests become bytes. */
  readonly request: Codec<Req>;
  /** How replies become bytes. */
  readonly reply: Codec<Res>;
  /** Has no value; it makes `K` invariant. */
  readonly "~open"?: ((token: K) => K) | undefined;
  /**
   * Returns the endpoint with some open tokens filled; this one stays as it is.
   *
   * @throws {TypeError | RangeError} as `Subject.with` does.
   */
  with<N extends TokenName<K>>(
    values: TokenValues<K, N>,
  ): Endpoint<Req, Res, OpenTokens<K, N>>;
  /**
   * Returns the values of the open tokens in a concrete subject, or `undefined` when the subject
   * does not match.
   */
  match(subject: string): SubjectParams<K> | undefined;
}

/** An endpoint without open tokens: one that can be requested. */
export type BoundEndpoint<Req, Res> = Endpoint<Req, Res, never>;

/**
 * Describes an address that answers: a pattern like that of a subject, and two codecs.
 *
 * @throws {TypeError} when a codec is missing, or the pattern is refused as `subject` does.
 * @throws {RangeError} when the pattern exceeds 1,024 bytes.
 *
 * @example
 * ```ts
 * import { type Endpoint, endpoint, json } from "@x/jsflow/client";
 *
 * export const Quote: Endpoint<{ size: number }, { px: number }, "symbol"> = endpoint(
 *   "quote.{symbol}",
 *   { request: json<{ size: number }>(), reply: json<{ px: number }>() },
 * );
 * console.log(Quote.filter, Quote.with({ symbol: "X" }).pattern); // "quote.*" "quote.X"
 * ```
 */
export function endpoint<const P extends string, Req, Res>(
  pattern: P,
  codecs: EndpointCodecs<Req, Res>,
): Endpoint<Req, Res, PatternTokens<P>> {
  checkObject("endpoint: codecs", codecs);
  const { request, reply } = checkOptions("endpoint", codecs, ["request", "reply"]);
  checkCodec("endpoint: request", request);
  return build(subject(pattern, request as Codec<Req>), checkCodec("endpoint: reply", reply));
}

function build<Req, Res, K extends string>(
  address: Subject<Req, K>,
  reply: Codec<Res>,
): Endpoint<Req, Res, K> {
  return Object.freeze<Endpoint<Req, Res, K>>({
    pattern: address.pattern,
    template: address.template,
    filter: address.filter,
    request: address.codec,
    reply,
    with: (values) => build(address.with(values), reply),
    match: (text) => address.match(text),
  });
}
