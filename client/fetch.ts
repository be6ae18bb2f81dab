import { endFailed } from "./_end_failed.ts";
import { FetchCall } from "./_fetch_call.ts";
import { parseFetchOptions } from "./_fetch_settings.ts";
import type { Batch } from "./batch.ts";
import type { ClientCore } from "./core.ts";
import type { FetchOptions } from "./fetch_options.ts";
import type { Subject } from "./subject.ts";

/** As `StreamMessaging.fetch` says. */
export async function fetch<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  options: FetchOptions<T, K>,
): Promise<Batch<T, K>> {
  const settings = parseFetchOptions(core, subject, options);
  settings.bounds.signal?.throwIfAborted();
  const operation = core.telemetry.begin("receive", {
    destination: subject.filter,
    template: subject.template,
    consumerGroup: settings.name,
    batchCount: 0,
  });
  try {
    const batch = await new FetchCall(core, settings, operation).run();
    operation.end();
    return batch;
  } catch (error) {
    endFailed(operation, error);
    throw error;
  }
}
