import { getLogger } from "@logtape/logtape";
import { currentTrace } from "./current_trace.ts";
import type { Logger } from "./native.ts";

/**
 * Returns the logger of a folder of the library, of the category `["jsflow", folder]`.
 *
 * Silent unless the application configures LogTape. Records that are logged within a trace have
 * the fields `traceId` and `spanId`.
 */
export function jsflowLogger(folder: string): Logger {
  return inTrace(getLogger(["jsflow", folder]));
}

/**
 * The ids are read when a method is called. LogTape's lazy values are read when a sink asks for
 * them, which may be later and in no trace.
 */
function inTrace(logger: Logger): Logger {
  return new Proxy(logger, {
    get(_, property) {
      if (property === "with" || property === "getChild") return derive(logger, property);
      const target = withTraceFields(logger);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function derive(logger: Logger, method: "with" | "getChild"): unknown {
  return method === "with"
    ? (properties: Record<string, unknown>) => inTrace(logger.with(properties))
    : (category: string | readonly [string]) => inTrace(logger.getChild(category));
}

function withTraceFields(logger: Logger): Logger {
  const trace = currentTrace();
  if (trace === undefined) return logger;
  return logger.with({ traceId: trace.traceId, spanId: trace.spanId });
}
