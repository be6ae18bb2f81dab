import { jsflowLogger } from "../trace/log.ts";
import type { Logger } from "../trace/native.ts";

/** Where this folder logs to; records carry the ids of the trace that they belong to. */
export const logger: Logger = jsflowLogger("client");
