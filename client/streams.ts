import type { PurgeOpts } from "@nats-io/jetstream";
import { forgetStream } from "./_known_streams.ts";
import { apiCodeOf, withStreamApi } from "./_stream_api.ts";
import { type PageQuery, streamPages } from "./_stream_pages.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import { readStreamInfo, type StreamInfo } from "./stream_info.ts";
import { checkStreamName } from "./stream_name.ts";
import { checkSubjectFilter, filterCovers, type SubjectFilter } from "./subject_filter.ts";
import type { NativeStreamInfo } from "./stream_native.ts";
import { translateError } from "./translate_error.ts";
import { checkInteger } from "./validate.ts";

/** What the server says when all servers that hold a stream are down. */
const STREAM_OFFLINE = 10118;

/** Which streams {@link Streams.list} and {@link Streams.names} give. */
export interface ListStreamsOptions extends CallOptions {
  /** Only streams whose subjects have something in common with this one. @default all */
  readonly subject?: SubjectFilter | undefined;
}

/** What {@link Streams.purge} removes; without any field but the bounds, all messages. */
export interface PurgeOptions extends CallOptions {
  /** Only messages of these subjects. @default all */
  readonly filter?: SubjectFilter | undefined;
  /** Keeps so many of the newest messages; not together with `upToSequence`. @default 0 */
  readonly keep?: number | undefined;
  /** Only messages before this sequence, which itself stays. @default all */
  readonly upToSequence?: number | undefined;
}

/**
 * Looks at streams and clears them away.
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     for await (const { name, messages } of client.streams.list({ subject: "orders.>" })) {
 *       console.log(name, messages);
 *     }
 *     await client.streams.purge("ORDERS", { filter: "orders.test", keep: 10 });
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export interface Streams {
  /**
   * Describes a stream.
   *
   * @throws {JsflowError} `stream_not_found`, or as for any call: `permission_denied`, `timeout`,
   * `not_connected`, `circuit_open`, `jetstream_disabled`, `jetstream_unavailable`.
   */
  info(name: string, options?: CallOptions): Promise<StreamInfo>;
  /**
   * Describes all streams, or those of a subject; pages are asked for as they are needed.
   *
   * @throws {JsflowError} as {@link Streams.info} does; `jetstream_unavailable` comes after the
   * streams that can be described, when others have no leader.
   */
  list(options?: ListStreamsOptions): AsyncIterableIterator<StreamInfo>;
  /** Gives the names of all streams, or of those of a subject. */
  names(options?: ListStreamsOptions): AsyncIterableIterator<string>;
  /**
   * Finds the stream that captures a subject, or every subject that a filter stands for;
   * `undefined` when there is none.
   *
   * @throws {JsflowError} as {@link Streams.info} does; `jetstream_unavailable` when there is one
   * that does not answer.
   */
  find(subject: SubjectFilter, options?: CallOptions): Promise<StreamInfo | undefined>;
  /** Deletes a stream with its messages and consumers; `false` when there was none. */
  delete(name: string, options?: CallOptions): Promise<boolean>;
  /**
   * Removes messages and returns how many.
   *
   * @throws {JsflowError} `stream_not_found`, `permission_denied`, or `nats` when the stream refuses
   * to be purged.
   */
  purge(name: string, options?: PurgeOptions): Promise<number>;
}

/** Makes the {@link Streams} of a client. */
export function createStreams(core: ClientCore): Streams {
  return Object.freeze<Streams>({
    info: (name, options) => streamInfo(core, name, options),
    list: (options) => listStreams(core, options),
    names: (options) => listStreamNames(core, options),
    find: (subject, options) => findStream(core, subject, options),
    delete: (name, options) => deleteStream(core, name, options),
    purge: (name, options) => purgeStream(core, name, options),
  });
}

/** Does {@link Streams.info}. */
export async function streamInfo(
  core: ClientCore,
  name: string,
  options?: CallOptions,
): Promise<StreamInfo> {
  checkStreamName("streams.info: name", name);
  const bounds = checkCall(core, "streams.info", options);
  return await withStreamApi(
    core,
    `look up stream ${name}`,
    bounds,
    async ({ streams }) => readStreamInfo(await streams.info(name)),
  );
}

/** The same, but returns undefined when there is no such stream. */
export async function tryStreamInfo(
  core: ClientCore,
  name: string,
  options?: CallOptions,
): Promise<StreamInfo | undefined> {
  try {
    return await streamInfo(core, name, options);
  } catch (error) {
    if (isJsflowError(error, "stream_not_found")) return undefined;
    throw error;
  }
}

/** Does {@link Streams.list}. */
export function listStreams(
  core: ClientCore,
  options?: ListStreamsOptions,
): AsyncIterableIterator<StreamInfo> {
  const query = checkList(core, "streams.list", options);
  return map(streamPages<NativeStreamInfo>(core, "LIST", query), readStreamInfo);
}

/** Does {@link Streams.names}. */
export function listStreamNames(
  core: ClientCore,
  options?: ListStreamsOptions,
): AsyncIterableIterator<string> {
  return streamPages<string>(core, "NAMES", checkList(core, "streams.names", options));
}

/** Does {@link Streams.find}. */
export async function findStream(
  core: ClientCore,
  subject: SubjectFilter,
  options?: CallOptions,
): Promise<StreamInfo | undefined> {
  const filter = checkSubjectFilter("streams.find: subject", subject);
  const bounds = checkCall(core, "streams.find", options);
  // Streams without a leader have a name all the same, which comes at once.
  for await (const name of listStreamNames(core, { subject: filter, ...bounds })) {
    const info = await describeNamed(core, name, bounds);
    if (info?.config.subjects.some((captured) => filterCovers(captured, filter))) return info;
  }
  return undefined;
}

/** Undefined when the stream was deleted since its name was listed. */
async function describeNamed(
  core: ClientCore,
  name: string,
  bounds: CallBounds,
): Promise<StreamInfo | undefined> {
  try {
    return await tryStreamInfo(core, name, bounds);
  } catch (error) {
    if (apiCodeOf(error) !== STREAM_OFFLINE) throw error;
    throw new JsflowError(
      "jetstream_unavailable",
      `cannot look up stream ${name}: the servers that hold it are down; start them`,
      { cause: error },
    );
  }
}

/** Does {@link Streams.delete}. */
export async function deleteStream(
  core: ClientCore,
  name: string,
  options?: CallOptions,
): Promise<boolean> {
  checkStreamName("streams.delete: name", name);
  const bounds = checkCall(core, "streams.delete", options);
  const action = `delete stream ${name}`;
  const deleted = await withStreamApi(core, action, bounds, async ({ streams }) => {
    try {
      return await streams.delete(name);
    } catch (error) {
      if (isJsflowError(translateError(error, action), "stream_not_found")) return false;
      throw error;
    }
  });
  forgetStream(core, name);
  return deleted;
}

/** Does {@link Streams.purge}. */
export async function purgeStream(
  core: ClientCore,
  name: string,
  options?: PurgeOptions,
): Promise<number> {
  checkStreamName("streams.purge: name", name);
  const bounds = checkCall(core, "streams.purge", options, ["filter", "keep", "upToSequence"]);
  const request = purgeRequest(options);
  return await withStreamApi(
    core,
    `purge stream ${name}`,
    bounds,
    async ({ streams }) => (await streams.purge(name, request)).purged,
  );
}

function checkList(
  core: ClientCore,
  what: string,
  options: ListStreamsOptions | undefined,
): PageQuery {
  const bounds = checkCall(core, what, options, ["subject"]);
  const { subject } = options ?? {};
  return {
    ...bounds,
    subject: subject === undefined ? undefined : checkSubjectFilter(`${what}: subject`, subject),
  };
}

function purgeRequest(options: PurgeOptions = {}): PurgeOpts {
  const { filter, keep, upToSequence } = options;
  const request: { filter?: string; keep?: number; seq?: number } = {};
  if (filter !== undefined) request.filter = checkSubjectFilter("streams.purge: filter", filter);
  if (keep !== undefined) request.keep = checkInteger("streams.purge: keep", keep);
  if (upToSequence !== undefined) {
    request.seq = checkInteger("streams.purge: upToSequence", upToSequence, { min: 1 });
  }
  if (keep !== undefined && upToSequence !== undefined) {
    throw new TypeError("streams.purge takes keep or upToSequence, not both");
  }
  return request as PurgeOpts;
}

async function* map<A, B>(items: AsyncIterable<A>, turn: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield turn(item);
}
