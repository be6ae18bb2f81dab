import { randomUUID } from "node:crypto";
import type { ConsumerConfig, ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import { consumerDrift, nativeConfig, successorConfig, updateOf } from "./_consumer_config.ts";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import { apiCodeOf, serverOf, withStreamApi } from "./_stream_api.ts";
import { ensureStreamFor } from "./auto_create.ts";
import type { CallOptions } from "./call_options.ts";
import { systemClock } from "./clock.ts";
import { formatDiff } from "./config_diff.ts";
import type { ClientCore } from "./core.ts";
import { untilAborted } from "./deadline.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { StreamInfo } from "./stream_info.ts";
import { findStream, listStreamNames, streamInfo } from "./streams.ts";
import { toldConsumer } from "./told_consumer.ts";

type Settings = ConsumerSettings<unknown, never>;

/** A consumer at the server, and the stream that it belongs to. */
export interface FoundConsumer {
  readonly stream: string;
  /** When the stream was made: another time is another stream. */
  readonly streamCreated: number;
  /** What the stream captured, for the case that it has to be made again. */
  readonly subjects: readonly string[];
  readonly info: ConsumerInfo;
}

function manage<R>(
  core: ClientCore,
  what: string,
  options: CallOptions,
  work: (manager: JetStreamManager) => Promise<R>,
): Promise<R> {
  const { signal, timeoutMs = core.requestTimeoutMs, bypassBreaker } = options;
  return withStreamApi(core, what, { signal, timeoutMs, bypassBreaker }, work);
}

/** Makes a name that no other consumer has. */
export function uniqueConsumerName(): string {
  return `jsflow_${randomUUID().replaceAll("-", "")}`;
}

/**
 * Finds the stream, and finds or makes the consumer.
 *
 * @throws {JsflowError} `stream_not_found`, `config_drift`, `unsupported`, or what the server says.
 */
export async function openConsumer(
  core: ClientCore,
  settings: Settings,
  consumer: string,
): Promise<FoundConsumer> {
  const { signal, bypassBreaker } = settings;
  if (settings.filters.length > 1) {
    serverOf(core).require("consumer_filters");
  }
  const { config, created, name: stream } = await streamOf(core, settings);
  const info = await infoOf(core, settings, { stream, consumer, signal, bypassBreaker });
  return { stream, streamCreated: created.getTime(), subjects: config.subjects, info };
}

async function infoOf(
  core: ClientCore,
  settings: Settings,
  target: ConsumerTarget,
): Promise<ConsumerInfo> {
  if (settings.name === undefined) return await makeNameless(core, settings, target);
  const found = await findConsumer(core, target);
  return found === undefined
    ? await makeConsumer(core, settings, target)
    : await settleDrift(core, settings, found);
}

/** Nobody but this call knows the consumer: one that it gives up goes. */
async function makeNameless(
  core: ClientCore,
  settings: Settings,
  target: ConsumerTarget,
): Promise<ConsumerInfo> {
  let answer: Promise<unknown> | undefined;
  const onSent = (sent: Promise<unknown>) => void (answer = sent);
  try {
    return await makeConsumer(core, settings, { ...target, onSent });
  } catch (error) {
    if (answer !== undefined) await discardConsumer(core, target, answer);
    throw error;
  }
}

/** Which consumer, and how to reach it. */
export interface ConsumerTarget extends CallOptions {
  readonly stream: string;
  readonly consumer: string;
}

async function streamOf(core: ClientCore, settings: Settings): Promise<StreamInfo> {
  const { autoCreate, signal, stream, subject, bypassBreaker } = settings;
  const call = { signal, bypassBreaker };
  if (autoCreate !== undefined) return await ensureStreamFor(core, subject, autoCreate, call);
  if (stream !== undefined) return await streamInfo(core, stream, call);
  const found = await findStream(core, subject, call);
  return found ?? await streamInfo(core, await onlyOverlap(core, settings), call);
}

/** A stream that captures a part of the subject will do when there is no other. */
async function onlyOverlap(core: ClientCore, settings: Settings): Promise<string> {
  const { signal, subject, bypassBreaker } = settings;
  const names: string[] = [];
  for await (const name of listStreamNames(core, { subject, signal, bypassBreaker })) {
    names.push(name);
    if (names.length > MAX_NAMED) break;
  }
  const [only] = names;
  if (only !== undefined && names.length === 1) return only;
  throw new JsflowError(
    "stream_not_found",
    only === undefined
      ? `cannot consume ${subject.filter}: no stream captures it; make one, or pass autoCreate`
      : `cannot consume ${subject.filter}: several streams capture parts of it ` +
        `(${names.slice(0, MAX_NAMED).join(", ")}); name one of them as stream`,
  );
}

const MAX_NAMED = 5;

/** Returns the consumer, or undefined when there is none. */
export async function findConsumer(
  core: ClientCore,
  target: ConsumerTarget,
): Promise<ConsumerInfo | undefined> {
  const { consumer, stream } = target;
  const what = `find consumer ${consumer} of ${stream}`;
  try {
    return await manage(
      core,
      what,
      target,
      async ({ consumers }) => toldConsumer(await consumers.info(stream, consumer)),
    );
  } catch (error) {
    if (isJsflowError(error, "consumer_not_found")) return undefined;
    throw error;
  }
}

/** How a consumer is made. */
export interface MakeConsumerOptions extends ConsumerTarget {
  /** Sequence of the first message that it may deliver. @default as the options say */
  readonly startAt?: number | undefined;
  /** How the one was whose place it takes. @default none, and the options say all */
  readonly stored?: Partial<ConsumerConfig> | undefined;
  /** Told of each request that has been sent, and its answer. */
  readonly onSent?: ((answer: Promise<unknown>) => void) | undefined;
}

/** What the server says when there is a consumer of the name that is configured differently. */
const CONSUMER_EXISTS = 10148;

/**
 * Makes the consumer; one that somebody else has made meanwhile will do.
 *
 * @throws {JsflowError} `config_drift` when that one differs and may not be changed.
 */
export async function makeConsumer(
  core: ClientCore,
  settings: Settings,
  options: MakeConsumerOptions,
): Promise<ConsumerInfo> {
  const { consumer, signal, startAt, stored, stream } = options;
  const config = stored === undefined
    ? nativeConfig(settings, consumer, startAt)
    : successorConfig(settings, stored, startAt);
  try {
    const what = `make consumer ${consumer} of ${stream}`;
    const made = await manage(core, what, options, ({ consumers }) => {
      const answer = consumers.add(stream, structuredClone(config));
      options.onSent?.(answer);
      return answer;
    });
    if (settings.name === undefined || keepsRivalsOut(core)) return made;
    await systemClock.sleep(RIVALS_MS, signal);
  } catch (error) {
    const code = apiCodeOf(error);
    if (code === undefined || (code !== CONSUMER_EXISTS && keepsRivalsOut(core))) throw error;
    if (await findConsumer(core, options) === undefined) throw error;
  }
  const found = await findConsumer(core, options);
  if (found !== undefined) return await settleDrift(core, { ...settings, signal }, found);
  throw new JsflowError(
    "jetstream_unavailable",
    `cannot make consumer ${consumer} of ${stream}: somebody deletes it meanwhile; try again`,
  );
}

/** Servers of the 2.9 line take another's consumer of the name for one that is to be changed. */
function keepsRivalsOut(core: ClientCore): boolean {
  return serverOf(core).supports("consumer_filters");
}

/** Who makes a consumer at the same time has done so by then: the last one's word counts. */
const RIVALS_MS = 100;

/** How long a call that fails is held up by tidying. */
const DISCARD_MS = 1_000;

/** Deletes a consumer that nobody will use, once its making is answered; never throws. */
export async function discardConsumer(
  core: ClientCore,
  target: ConsumerTarget,
  made?: Promise<unknown>,
): Promise<void> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), DISCARD_MS);
  const { signal } = controller;
  // In a cluster a deletion that overtakes it would find nothing.
  if (made !== undefined) await untilAborted(made, signal).catch(() => {});
  await deleteConsumer(core, { ...target, signal }).catch(() => {});
  clearTimeout(timer);
}

/** Deletes the consumer; that there is none is as good. */
export async function deleteConsumer(core: ClientCore, target: ConsumerTarget): Promise<void> {
  const { consumer, stream } = target;
  const what = `delete consumer ${consumer} of ${stream}`;
  try {
    await manage(core, what, target, ({ consumers }) => consumers.delete(stream, consumer));
  } catch (error) {
    if (isJsflowError(error, "consumer_not_found")) return;
    if (isJsflowError(error, "stream_not_found")) return;
    // Servers of the 2.9 line may delete it, and say that its folder was not empty.
    if (!isJsflowError(error, "nats") || await findConsumer(core, target) !== undefined) {
      throw error;
    }
  }
}

/**
 * Decides about a consumer that exists.
 *
 * @throws {JsflowError} `config_drift` when it differs and may not be changed.
 */
export async function settleDrift(
  core: ClientCore,
  settings: Settings,
  found: ConsumerInfo,
): Promise<ConsumerInfo> {
  if (found.config.deliver_subject !== undefined) {
    throw drift(found, "it pushes its messages; choose another name");
  }
  const differences = consumerDrift(settings, found.config);
  if (differences.length === 0 || settings.onDrift === "ignore") return found;
  if (settings.onDrift === "fail") {
    throw drift(
      found,
      `it differs from the options (stored → wanted):\n${formatDiff(differences)}\n` +
        'change the options, delete the consumer, or pass onDrift: "update" or "ignore"',
    );
  }
  return await change(core, settings, found);
}

async function change(
  core: ClientCore,
  settings: Settings,
  found: ConsumerInfo,
): Promise<ConsumerInfo> {
  const { name, stream_name: stream } = found;
  const { signal, bypassBreaker } = settings; // its timeoutMs is that of handlers
  const what = `update consumer ${name} of ${stream}`;
  try {
    return await manage(core, what, { signal, bypassBreaker }, ({ consumers }) => {
      return consumers.update(stream, name, updateOf(settings));
    });
  } catch (error) {
    if (!isJsflowError(error, "nats") || apiCodeOf(error) === undefined) throw error;
    const differences = formatDiff(consumerDrift(settings, found.config));
    const says = (error.cause as Error).message;
    throw drift(
      found,
      `the server refuses the change (stored → wanted):\n${differences}\nit says: ${says}; ` +
        "delete the consumer, or leave these as they are",
      error,
    );
  }
}

function drift(found: ConsumerInfo, why: string, cause?: unknown): JsflowError {
  const what = `cannot use consumer ${found.name} of ${found.stream_name}`;
  return new JsflowError("config_drift", `${what}: ${why}`, cause === undefined ? {} : { cause });
}
