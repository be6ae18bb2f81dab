import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, context, ROOT_CONTEXT } from "@opentelemetry/api";

/** Stands in for OpenTelemetry's context manager where the application registered none. */
const storage: AsyncLocalStorage<Context> = /* @__PURE__ */ new AsyncLocalStorage();

/** The context of the code that is running: OpenTelemetry's when there is a context manager. */
export function activeContext(): Context {
  const active = context.active();
  return active === ROOT_CONTEXT ? storage.getStore() ?? active : active;
}

/**
 * Runs a function, and all that it awaits, within a context.
 *
 * Without a context manager OpenTelemetry would forget it at once: whether there is one shows in
 * whether the context is active.
 */
export function runInContext<T>(target: Context, work: () => T): T {
  return context.with(
    target,
    () => context.active() === target ? work() : storage.run(target, work),
  );
}
