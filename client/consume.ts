import { type Handled, splitHandler } from "./_address.ts";
import { RunningConsumption } from "./_consumer_consumption.ts";
import { type ConsumerSettings, parseConsumeOptions } from "./_consumer_settings.ts";
import {
  discardConsumer,
  type FoundConsumer,
  openConsumer,
  uniqueConsumerName,
} from "./_consumer_setup.ts";
import type { ConsumeHandler, ConsumeOptions } from "./consume_options.ts";
import { consumersOf } from "./consumer_registry.ts";
import type { Consumption } from "./consumption.ts";
import type { ClientCore } from "./core.ts";
import type { Subject } from "./subject.ts";

/** As `StreamMessaging.consume` says. */
export async function consume<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  ...given: Handled<ConsumeOptions<T, K>, ConsumeHandler<T, K>>
): Promise<Consumption> {
  const [options, handler] = splitHandler("consume", given);
  const settings = parseConsumeOptions(subject, options);
  settings.signal?.throwIfAborted();
  const consumer = settings.name ?? uniqueConsumerName();
  const found = await openConsumer(core, settings as never, consumer);
  try {
    settings.signal?.throwIfAborted();
    return start(core, settings, found, handler);
  } catch (error) {
    if (settings.name === undefined) {
      const { bypassBreaker } = settings;
      await discardConsumer(core, { stream: found.stream, consumer, bypassBreaker });
    }
    throw error;
  }
}

function start<T, K extends string>(
  core: ClientCore,
  settings: ConsumerSettings<T, K>,
  found: FoundConsumer,
  handler: ConsumeHandler<T, K>,
): Consumption {
  const registry = consumersOf(core);
  const { signal } = settings;
  const abort = () => void consumption.abort(signal?.reason);
  const onEnd = () => {
    signal?.removeEventListener("abort", abort);
    disown();
    registry.remove(consumption);
  };
  const consumption: RunningConsumption<T, K> = new RunningConsumption({
    core,
    settings,
    found,
    handler,
    onEnd,
  });
  const disown = core.own({
    stop: () => consumption.quiesce(),
    drain: (deadline) => consumption.release(deadline),
  });
  signal?.addEventListener("abort", abort, { once: true });
  registry.add(consumption);
  consumption.begin();
  return consumption;
}
