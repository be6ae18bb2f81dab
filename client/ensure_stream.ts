import type { JetStreamManager } from "@nats-io/jetstream";
import { noteStream } from "./_known_streams.ts";
import { readSettings } from "./_stream_fields.ts";
import { apiCodeOf, serverOf, withStreamApi } from "./_stream_api.ts";
import { checkStreamConfig, nativeFor, type WantedStream } from "./_wanted_stream.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import { type ConfigDifference, diffConfig, formatDiff } from "./config_diff.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { StreamConfig } from "./stream_config.ts";
import { readStreamInfo, type StreamInfo } from "./stream_info.ts";
import type { NativeStreamConfig, NativeStreamInfo } from "./stream_native.ts";
import { translateError } from "./translate_error.ts";
import { checkOneOf } from "./validate.ts";

/** What happens when something exists with another configuration: an error, a change, nothing. */
export type OnDrift = "fail" | "update" | "ignore";

/** How {@link ensureStream} treats a stream that exists. */
export interface EnsureStreamOptions extends CallOptions {
  /**
   * What to do when the stream exists and differs in a field that was named. An update makes the
   * server forget the delays of messages that consumers have put off: they come again at once.
   * @default "fail"
   */
  readonly onDrift?: OnDrift | undefined;
}

/** What the server says when a stream of the name exists with another configuration. */
const NAME_IN_USE = 10058;

/** As `StreamMessaging.ensureStream` says. */
export async function ensureStream(
  core: ClientCore,
  config: StreamConfig,
  options?: EnsureStreamOptions,
): Promise<StreamInfo> {
  const wanted = checkStreamConfig("ensureStream", config);
  const bounds = checkCall(core, "ensureStream", options, ["onDrift"]);
  const onDrift = checkOnDrift("ensureStream", options?.onDrift);
  return await ensureWanted(core, wanted, { ...bounds, onDrift });
}

/** Returns what to do about drift, which is `fail` unless something else is given. */
export function checkOnDrift(what: string, value: unknown): OnDrift {
  if (value === undefined) return "fail";
  return checkOneOf(`${what}: onDrift`, value, ["fail", "ignore", "update"]);
}

async function ensureWanted(
  core: ClientCore,
  wanted: WantedStream,
  bounds: CallBounds & { readonly onDrift: OnDrift },
): Promise<StreamInfo> {
  const { name } = wanted;
  const native = await withStreamApi(core, `ensure stream ${name}`, bounds, async (manager) => {
    const existing = await lookUp(manager, name);
    if (existing !== undefined && bounds.onDrift === "ignore") return existing;
    const understood = { ...wanted, native: nativeFor(serverOf(core), wanted) };
    if (existing !== undefined) return settle(manager, understood, existing, bounds.onDrift);
    const created = await create(manager, understood);
    if (created === undefined) {
      return settle(manager, understood, await manager.streams.info(name), bounds.onDrift);
    }
    noteStream(core, name);
    return verify(wanted, created, "created");
  });
  return readStreamInfo(native);
}

async function lookUp(
  manager: JetStreamManager,
  name: string,
): Promise<NativeStreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    const translated = translateError(error, `look up stream ${name}`);
    if (isJsflowError(translated, "stream_not_found")) return undefined;
    throw translated;
  }
}

/** Undefined when somebody else created it first, with another configuration. */
async function create(
  manager: JetStreamManager,
  wanted: WantedStream,
): Promise<NativeStreamInfo | undefined> {
  try {
    return await manager.streams.add(structuredClone(wanted.native)); // which is changed there
  } catch (error) {
    if (apiCodeOf(error) === NAME_IN_USE) return undefined;
    throw translateError(error, `create stream ${wanted.name}`);
  }
}

/** Compares a stream that exists, and changes it when that is wanted. */
function settle(
  manager: JetStreamManager,
  wanted: WantedStream,
  existing: NativeStreamInfo,
  onDrift: OnDrift,
): NativeStreamInfo | Promise<NativeStreamInfo> {
  const differences = differencesOf(wanted, existing.config);
  if (differences.length === 0 || onDrift === "ignore") return existing;
  if (onDrift === "update") return update(manager, wanted, existing.config);
  throw new JsflowError(
    "config_drift",
    `cannot use stream ${wanted.name}: it is stored with another configuration ` +
      `(stored → wanted):\n${formatDiff(differences)}\n` +
      'pass onDrift: "update" to change it, onDrift: "ignore" to use it as it is, or another name',
  );
}

async function update(
  manager: JetStreamManager,
  wanted: WantedStream,
  stored: NativeStreamConfig,
): Promise<NativeStreamInfo> {
  const { name } = wanted;
  const changed = structuredClone(wanted.native);
  // Metadata is compared by the names that were given, so others are kept.
  if (changed.metadata) changed.metadata = { ...stored.metadata, ...changed.metadata };
  // One that nobody named follows the age, beyond which the server refuses it.
  const { max_age: age, duplicate_window: window } = changed;
  if (window === undefined && age && stored.duplicate_window > age) changed.duplicate_window = age;
  try {
    return verify(wanted, await manager.streams.update(name, changed), "updated");
  } catch (error) {
    const translated = translateError(error, `update stream ${name}`);
    if (!isJsflowError(translated, "nats") || apiCodeOf(error) === undefined) throw translated;
    throw new JsflowError(
      "config_drift",
      `cannot update stream ${name}: the server refuses the change (stored → wanted):\n` +
        `${formatDiff(differencesOf(wanted, stored))}\n` +
        `it says: ${(error as Error).message}; create another stream, or leave these as they are`,
      { cause: error },
    );
  }
}

/** Servers ignore what they don't know, without a word. */
function verify(wanted: WantedStream, info: NativeStreamInfo, done: string): NativeStreamInfo {
  const differences = differencesOf(wanted, info.config);
  if (differences.length === 0) return info;
  throw new JsflowError(
    "unsupported",
    `cannot configure stream ${wanted.name} as wanted: the server ${done} it, but ignored ` +
      `(stored → wanted):\n${formatDiff(differences)}\nupgrade the server or do without`,
  );
}

function differencesOf(
  wanted: WantedStream,
  stored: NativeStreamConfig,
): readonly ConfigDifference[] {
  return [
    ...diffConfig(readSettings(stored), wanted.own),
    ...diffConfig({ native: stored }, { native: wanted.extra }),
  ];
}
