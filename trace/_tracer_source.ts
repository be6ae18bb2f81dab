import { trace, type Tracer, type TracerProvider } from "@opentelemetry/api";

/** The name under which spans and metrics are reported. */
export const SCOPE_NAME = "@x/jsflow";

/** A provider that stands in until an SDK is registered. */
interface StandIn {
  getDelegateTracer(name: string): Tracer | undefined;
}

/** Finds the tracer once there is an SDK, so that one may be registered after the client is made. */
export class TracerSource {
  readonly #provider: TracerProvider | undefined;
  #tracer: Tracer | undefined;

  constructor(provider: TracerProvider | undefined) {
    this.#provider = provider;
  }

  /** The tracer; undefined when it is known that there is no SDK, which saves describing spans. */
  get(): Tracer | undefined {
    return this.#tracer ??= findTracer(this.#provider ?? trace.getTracerProvider());
  }
}

function findTracer(provider: TracerProvider): Tracer | undefined {
  const standIn = provider as Partial<StandIn>;
  return typeof standIn.getDelegateTracer === "function"
    ? standIn.getDelegateTracer(SCOPE_NAME)
    : provider.getTracer(SCOPE_NAME);
}
