import {
  autoCreateConfig,
  type CapturePlan,
  ensureStreamFor,
  type StreamAutoCreate,
} from "./auto_create.ts";
import type { CallBounds } from "./_stream_api.ts";
import type { ClientCore } from "./core.ts";

/** Most subjects that are remembered for one client; the oldest is forgotten first. */
const MAX_REMEMBERED = 1_024;

const remembered = new WeakMap<ClientCore, Map<string, unknown>>();

/**
 * Tells whether a stream was found or created for the subject before, with these very options.
 *
 * It may have been deleted since; a publish finds out, and calls {@link forgetCaptured}.
 */
export function isCaptured(
  core: ClientCore,
  name: string,
  options: true | StreamAutoCreate,
): boolean {
  const found = remembered.get(core);
  return found?.get(name) === options;
}

/** Finds or creates the stream for a subject, and remembers that it did. */
export async function ensureCaptured(
  core: ClientCore,
  name: string,
  options: CallBounds & { readonly autoCreate: true | StreamAutoCreate },
): Promise<void> {
  const { autoCreate, ...bounds } = options;
  await ensureStreamFor(core, name, autoCreate, bounds);
  const subjects = remembered.get(core) ?? new Map<string, unknown>();
  remembered.set(core, subjects);
  subjects.delete(name);
  subjects.set(name, autoCreate);
  const [oldest] = subjects.keys();
  if (subjects.size > MAX_REMEMBERED && oldest !== undefined) subjects.delete(oldest);
}

/** Forgets about a subject that no stream captures any more. */
export function forgetCaptured(core: ClientCore, name: string): void {
  remembered.get(core)?.delete(name);
}

/** Checks the option, as far as that is possible with a subject at hand. */
export function checkAutoCreate(
  what: string,
  name: string,
  options: true | StreamAutoCreate,
): CapturePlan {
  return autoCreateConfig(`${what}: autoCreate`, name, options);
}
