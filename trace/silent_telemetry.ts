import type { Operation, Telemetry } from "./telemetry.ts";

const silentOperation: Operation = {
  trace: undefined,
  inject: () => {},
  run: (work) => work(),
  note: () => {},
  end: () => {},
};

/** Reports nothing and carries no context. */
export const silentTelemetry: Telemetry = {
  tracing: false,
  begin: () => silentOperation,
  count: () => {},
  gauge: () => () => {},
  close: () => {},
};
