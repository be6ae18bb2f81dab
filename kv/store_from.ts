import type { Client } from "../client/client.ts";
import { type ClientCore, coreOf } from "../client/core.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { tryStreamInfo } from "../client/streams.ts";
import { translateError } from "../client/translate_error.ts";
import { checkSignal, describe } from "../client/validate.ts";
import type { Bounds } from "./_bucket.ts";
import { bucketNotFound } from "./_bucket_errors.ts";
import { checkSettings } from "./_check_store.ts";
import { bucketOf } from "./_ensure_bucket.ts";
import { rawKeyNames } from "./_key_names.ts";
import { timeLeft } from "./_time_left.ts";
import { makeStore } from "./_make_store.ts";
import type { KV } from "./native.ts";
import type { Store } from "./store.ts";
import type { StoreFromOptions } from "./store_options.ts";

/**
 * Makes a store of a native bucket, which other software made and writes.
 *
 * Nothing is created or compared. Keys are taken as they are: tokens of letters, digits and
 * `_ / = -` with dots between them, and others are a `TypeError`; a codec that the native bucket
 * has for its keys is not asked. The store works through `client`, which must be connected to the
 * same account as the native bucket.
 *
 * @throws {TypeError | RangeError} for options that make no sense, before any I/O
 * @throws {JsflowError} `bucket_not_found`; `unsupported` for the mirror of a bucket; `unsafe_cas`
 * when it is replicated on a server older than 2.11; or as `openStore` does
 * @throws the signal's reason when it aborts
 *
 * @example
 * ```ts
 * import { connect, json } from "@x/jsflow/client";
 * import { storeFrom } from "@x/jsflow/kv";
 * import { Kvm } from "@nats-io/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const native = await new Kvm(client.jetstream).open("settings");
 *   const settings = await storeFrom(client, native, { codec: json<{ level: string }>() });
 *   console.log(await settings.get("log"));
 *   await settings.close();
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export async function storeFrom<T>(
  client: Client,
  kv: KV,
  options: StoreFromOptions<T>,
): Promise<Store<T>> {
  const core = coreOf(client);
  const settings = checkSettings<T>("storeFrom", options, ["signal"]);
  const signal = checkSignal("storeFrom: signal", options.signal);
  if (typeof kv?.status !== "function") {
    throw new TypeError(`storeFrom: kv must be a bucket of @nats-io/kv, got ${describe(kv)}`);
  }
  const bounds = { signal, timeoutMs: settings.timeoutMs };
  const info = await findStream(core, kv, bounds);
  const name = bucketOf(info);
  if (name !== undefined) return makeStore(core, { name, info, keys: rawKeyNames }, settings);
  throw new JsflowError(
    "unsupported",
    `cannot make a store of stream ${info.name}: it captures no subjects of a bucket; open the ` +
      "bucket that it mirrors",
  );
}

/** The bucket's stream, as the client sees it. */
async function findStream(core: ClientCore, kv: KV, bounds: Bounds): Promise<StreamInfo> {
  const what = "look at the native bucket";
  const onTimeout = () => timeoutError(what, bounds.timeoutMs);
  const left = timeLeft(bounds);
  const stream = await withDeadline({ ...bounds, onTimeout }, async (signal) => {
    try {
      return (await kv.status()).streamInfo.config.name;
    } catch (error) {
      signal.throwIfAborted();
      throw explain(translateError(error, what));
    }
  });
  const info = await tryStreamInfo(core, stream, { ...left() });
  if (info === undefined) throw bucketNotFound(stream);
  return info;
}

function explain(error: Error): Error {
  if (!isJsflowError(error, "stream_not_found")) return error;
  const text = "cannot look at the native bucket: it does not exist; create it first";
  return new JsflowError("bucket_not_found", text, { cause: error });
}
