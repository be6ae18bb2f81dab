import { checkStreamConfig } from "./_wanted_stream.ts";
import { apiCodeOf } from "./_stream_api.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { timeoutError, withDeadline } from "./deadline.ts";
import { ensureStream } from "./ensure_stream.ts";
import { JsflowError } from "./errors.ts";
import type { StreamConfig, StreamRetention, StreamStorage } from "./stream_config.ts";
import type { StreamInfo } from "./stream_info.ts";
import { checkStreamName } from "./stream_name.ts";
import { findStream, listStreamNames, tryStreamInfo } from "./streams.ts";
import { checkSubjectFilter, filterCovers, type SubjectFilter } from "./subject_filter.ts";
import { checkObject, checkOptions, describe } from "./validate.ts";

/** How long messages stay in a stream that is created automatically: 7 days. */
export const AUTO_CREATE_MAX_AGE_MS: number = 7 * 86_400_000;

/** The stream that is created when none captures a subject yet. */
export interface StreamAutoCreate {
  /**
   * Its name.
   * @default the subject's first token in upper case, `-` replaced by `_`: `ORDERS`
   */
  readonly stream?: string | undefined;
  /**
   * What it captures; must include the subject at hand.
   * @default everything below the subject's first token, and that token itself: `orders`,
   * `orders.>`. With a `stream` of your own, the subject itself and everything below it.
   */
  readonly subjects?: readonly SubjectFilter[] | undefined;
  /** Where messages are kept. @default "file" */
  readonly storage?: StreamStorage | undefined;
  /** When messages are dropped. @default "limits" */
  readonly retention?: StreamRetention | undefined;
  /** Milliseconds after which a message is dropped. @default 604800000, 7 days */
  readonly maxAgeMs?: number | undefined;
  /** Bytes that the stream holds at most. @default Infinity */
  readonly maxBytes?: number | undefined;
  /** Messages that the stream holds at most. @default Infinity */
  readonly maxMessages?: number | undefined;
  /** Copies in a cluster, 1 to 5. @default 1 */
  readonly replicas?: number | undefined;
}

const KEYS = [
  "stream",
  "subjects",
  "storage",
  "retention",
  "maxAgeMs",
  "maxBytes",
  "maxMessages",
  "replicas",
] as const;

/** What the server says when another stream captures one of the subjects. */
const SUBJECTS_OVERLAP = 10065;

/**
 * Returns the stream that captures a subject, or every subject that a filter stands for, and creates
 * it when there is none. Callers that race get the same stream.
 *
 * A stream that captures the subject is used whatever it is called and however it is configured,
 * unless `stream` asks for another name.
 *
 * @throws {TypeError | RangeError} for options that make no sense, or when no name can be derived
 * from the filter.
 * @throws {JsflowError} `config_drift` when a stream of the name exists and doesn't capture the
 * subject, when the subject is captured by a stream of another name than `stream`, or when a stream
 * captures only a part of what the new one would; else as `ensureStream` does.
 * @throws the signal's reason when it aborts.
 */
export async function ensureStreamFor(
  core: ClientCore,
  filter: SubjectFilter,
  options?: true | StreamAutoCreate,
  call?: CallOptions,
): Promise<StreamInfo> {
  const plan = autoCreateConfig("autoCreate", filter, options);
  const bounds = checkCall(core, "autoCreate", call);
  const { signal, timeoutMs } = bounds;
  const onTimeout = () => timeoutError(`create a stream for ${plan.filter}`, timeoutMs);
  return await withDeadline(
    { signal, timeoutMs, onTimeout },
    (signal) => ensureCapturing(core, plan, { ...bounds, signal }),
  );
}

/** What is to capture which subject. */
export interface CapturePlan {
  /** The subject or filter that must be captured. */
  readonly filter: string;
  /** Whether the caller chose the stream's name. */
  readonly isNamed: boolean;
  /** The stream to create. */
  readonly config: StreamConfig & { readonly subjects: readonly string[] };
}

/**
 * Works out the stream that a subject needs, without I/O.
 *
 * @throws {TypeError | RangeError} as {@link ensureStreamFor} does.
 */
export function autoCreateConfig(
  what: string,
  filter: SubjectFilter,
  options: true | StreamAutoCreate = true,
): CapturePlan {
  const text = checkSubjectFilter(`${what}: subject`, filter);
  const given = checkAutoCreateOptions(what, options);
  const { stream, maxAgeMs = AUTO_CREATE_MAX_AGE_MS } = given;
  const subjects = subjectsOf(what, text, given);
  const name = stream === undefined
    ? streamNameOf(what, text)
    : checkStreamName(`${what}: stream`, stream);
  const { storage = "file", retention = "limits", maxBytes, maxMessages, replicas } = given;
  const config = { name, subjects, storage, retention, maxAgeMs, maxBytes, maxMessages, replicas };
  checkStreamConfig(what, config);
  return { filter: text, isNamed: stream !== undefined, config };
}

/**
 * Checks what can be checked before a subject is known, and returns the options.
 *
 * @throws {TypeError} when they are no object or have an unknown key.
 */
export function checkAutoCreateOptions(
  what: string,
  options: true | StreamAutoCreate,
): StreamAutoCreate {
  if (options === true) return {};
  checkObject(what, options);
  return checkOptions(what, options, KEYS);
}

function subjectsOf(what: string, filter: string, given: StreamAutoCreate): readonly string[] {
  if (given.subjects === undefined) {
    const base = given.stream === undefined
      ? firstToken(what, filter)
      : filter === ">"
      ? needsSubjects(what, filter)
      : filter.replace(/\.>$/, "");
    return [base, `${base}.>`];
  }
  if (!Array.isArray(given.subjects)) {
    throw new TypeError(`${what}: subjects must be an array, got ${describe(given.subjects)}`);
  }
  const subjects = given.subjects.map((item: SubjectFilter, index: number) =>
    checkSubjectFilter(`${what}: subjects[${index}]`, item)
  );
  if (subjects.some((subject: string) => filterCovers(subject, filter))) return subjects;
  throw new TypeError(`${what}: subjects must include ${filter}, got ${subjects.join(", ")}`);
}

function streamNameOf(what: string, filter: string): string {
  const name = firstToken(what, filter).toUpperCase().replaceAll("-", "_");
  return checkStreamName(`${what}: the name of the stream for ${filter}`, name);
}

function firstToken(what: string, filter: string): string {
  const [token = ""] = filter.split(".");
  return token === "*" || token === ">" ? needsSubjects(what, filter) : token;
}

function needsSubjects(what: string, filter: string): never {
  throw new TypeError(
    `${what}: no stream can be derived from ${filter}, which begins with a wildcard; ` +
      "pass stream and subjects",
  );
}

async function ensureCapturing(
  core: ClientCore,
  plan: CapturePlan,
  bounds: CallBounds,
): Promise<StreamInfo> {
  const found = await findCapturing(core, plan, bounds);
  if (found !== undefined) return found;
  const existing = await tryStreamInfo(core, plan.config.name, bounds);
  if (existing !== undefined) return requireCapturing(plan, existing);
  try {
    // One that was created in between is checked again: it may be of somebody else.
    const info = await ensureStream(core, plan.config, { ...bounds, onDrift: "ignore" });
    return requireCapturing(plan, info);
  } catch (error) {
    if (apiCodeOf(error) !== SUBJECTS_OVERLAP) throw error;
    const racing = await findCapturing(core, plan, bounds);
    if (racing !== undefined) return racing;
    throw await overlapping(core, plan, { ...bounds, error });
  }
}

async function findCapturing(
  core: ClientCore,
  plan: CapturePlan,
  bounds: CallBounds,
): Promise<StreamInfo | undefined> {
  const found = await findStream(core, plan.filter, bounds);
  if (found === undefined || !plan.isNamed || found.name === plan.config.name) return found;
  throw new JsflowError(
    "config_drift",
    `cannot create stream ${plan.config.name} for ${plan.filter}: stream ${found.name} captures ` +
      "it already; leave out the name, or delete that stream",
  );
}

/** A stream of the right name need not be the right one. */
function requireCapturing(plan: CapturePlan, info: StreamInfo): StreamInfo {
  if (info.config.subjects.some((subject) => filterCovers(subject, plan.filter))) return info;
  throw new JsflowError(
    "config_drift",
    `cannot use stream ${info.name} for ${plan.filter}: it exists, but captures ` +
      `${
        info.config.subjects.join(", ") || "no subject"
      }; add the subject to it, or pass autoCreate ` +
      "with a name of its own as stream",
  );
}

async function overlapping(
  core: ClientCore,
  plan: CapturePlan,
  options: CallBounds & { readonly error: unknown },
): Promise<JsflowError> {
  const { error, ...bounds } = options;
  const others = new Set<string>();
  for (const subject of plan.config.subjects) {
    for await (const name of listStreamNames(core, { ...bounds, subject })) others.add(name);
  }
  return new JsflowError(
    "config_drift",
    `cannot create stream ${plan.config.name} for ${plan.filter}: it would capture ` +
      `${plan.config.subjects.join(", ")}, and ${[...others].join(", ") || "another stream"} ` +
      "captures a part of that; pass autoCreate with subjects of its own",
    { cause: error },
  );
}
