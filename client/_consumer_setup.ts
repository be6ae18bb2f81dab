import { randomUUID } from "node:crypto";
import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import { consumerDrift, nativeConfig, updateOf } from "./_consumer_config.ts";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import { serverOf, withStreamApi } from "./_stream_api.ts";
import { ensureStreamFor } from "./auto_create.ts";
import { formatDiff } from "./config_diff.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { StreamInfo } from "./stream_info.ts";
import { findStream, listStreamNames, streamInfo } from "./streams.ts";

type Settings = ConsumerSettings<unknown, never>;

/** A consumer at the server, and the stream that it belongs to. */
export interface FoundConsumer {
  readonly stream: string;
  /** When the stream was made: another time is another stream. */
  readonly streamCreated: number;
  readonly info: ConsumerInfo;
}

function manage<R>(
  core: ClientCore,
  what: string,
  signal: AbortSignal | undefined,
  work: (manager: JetStreamManager) => Promise<R>,
): Promise<R> {
  return withStreamApi(core, what, { signal, timeoutMs: core.requestTimeoutMs }, work);
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
  const { signal } = settings;
  if (settings.filters.length > 1) {
    serverOf(core).require("consumer_filters");
  }
  const { created, name: stream } = await streamOf(core, settings);
  const found = settings.name === undefined
    ? undefined
    : await findConsumer(core, { stream, consumer, signal });
  const info = found === undefined
    ? await makeConsumer(core, settings, { stream, consumer, signal })
    : await settleDrift(core, settings, found);
  return { stream, streamCreated: created.getTime(), info };
}

/** Which consumer, and until when to try. */
export interface ConsumerTarget {
  readonly stream: string;
  readonly consumer: string;
  readonly signal?: AbortSignal | undefined;
}

async function streamOf(core: ClientCore, settings: Settings): Promise<StreamInfo> {
  const { autoCreate, signal, stream, subject } = settings;
  if (autoCreate !== undefined) {
    return await ensureStreamFor(core, subject, autoCreate, { signal });
  }
  if (stream !== undefined) return await streamInfo(core, stream, { signal });
  const found = await findStream(core, subject, { signal });
  return found ?? await streamInfo(core, await onlyOverlap(core, settings), { signal });
}

/** A stream that captures a part of the subject will do when there is no other. */
async function onlyOverlap(core: ClientCore, settings: Settings): Promise<string> {
  const { signal, subject } = settings;
  const names: string[] = [];
  for await (const name of listStreamNames(core, { subject, signal })) {
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
  const { consumer, signal, stream } = target;
  const what = `find consumer ${consumer} of ${stream}`;
  try {
    return await manage(core, what, signal, ({ consumers }) => consumers.info(stream, consumer));
  } catch (error) {
    if (isJsflowError(error, "consumer_not_found")) return undefined;
    throw error;
  }
}

/** Makes the consumer, from `startAt` on if given. */
export async function makeConsumer(
  core: ClientCore,
  settings: Settings,
  target: ConsumerTarget & { readonly startAt?: number | undefined },
): Promise<ConsumerInfo> {
  const { consumer, signal, startAt, stream } = target;
  const config = nativeConfig(settings, consumer, startAt);
  return await manage(
    core,
    `make consumer ${consumer} of ${stream}`,
    signal,
    ({ consumers }) => consumers.add(stream, config),
  );
}

/** Deletes the consumer; that there is none is as good. */
export async function deleteConsumer(core: ClientCore, target: ConsumerTarget): Promise<void> {
  const { consumer, signal, stream } = target;
  const what = `delete consumer ${consumer} of ${stream}`;
  try {
    await manage(core, what, signal, ({ consumers }) => consumers.delete(stream, consumer));
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
  const { name, stream_name: stream } = found;
  if (found.config.deliver_subject !== undefined) {
    throw drift(name, stream, "it pushes its messages; choose another name");
  }
  const differences = consumerDrift(settings, found.config);
  if (differences.length === 0 || settings.onDrift === "ignore") return found;
  if (settings.onDrift === "fail") {
    throw drift(
      name,
      stream,
      `it differs from the options (stored → wanted):\n${formatDiff(differences)}\n` +
        'change the options, delete the consumer, or pass onDrift: "update" or "ignore"',
    );
  }
  return await manage(
    core,
    `update consumer ${name} of ${stream}`,
    settings.signal,
    ({ consumers }) => consumers.update(stream, name, updateOf(settings)),
  );
}

function drift(name: string, stream: string, why: string): JsflowError {
  return new JsflowError("config_drift", `cannot use consumer ${name} of ${stream}: ${why}`);
}
