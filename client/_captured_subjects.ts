import { ensureStreamFor, type StreamAutoCreate } from "./auto_create.ts";
import type { CallBounds } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import type { SubjectFilter } from "./subject_filter.ts";

/** Most subjects that are remembered for one client; the oldest is forgotten first. */
const MAX_REMEMBERED = 1_024;

/** The options that a subject was captured with. */
interface Captured {
  readonly options: unknown;
  /** The same for options that ask for the same, as a literal in a loop does. */
  readonly key: string;
}

const remembered = new WeakMap<ClientCore, Map<string, Captured>>();

/**
 * Tells whether a stream was found or created for the subject before, with such options.
 *
 * It may have been deleted since; a publish finds out, and calls {@link forgetCaptured}.
 */
export function isCaptured(
  core: ClientCore,
  name: string,
  options: true | StreamAutoCreate,
): boolean {
  const found = remembered.get(core)?.get(name);
  if (found === undefined) return false;
  return found.options === options || found.key === keyOf(options);
}

/** Finds or creates the stream for a subject, and remembers that it did. */
export async function ensureCaptured(
  core: ClientCore,
  name: string,
  options: CallBounds & { readonly autoCreate: true | StreamAutoCreate },
): Promise<void> {
  const { autoCreate, ...bounds } = options;
  await ensureStreamFor(core, name, autoCreate, bounds);
  const subjects = remembered.get(core) ?? new Map<string, Captured>();
  remembered.set(core, subjects);
  subjects.delete(name);
  subjects.set(name, { options: autoCreate, key: keyOf(autoCreate) });
  const [oldest] = subjects.keys();
  if (subjects.size > MAX_REMEMBERED && oldest !== undefined) subjects.delete(oldest);
}

/** Forgets about a subject that no stream captures any more. */
export function forgetCaptured(core: ClientCore, name: string): void {
  remembered.get(core)?.delete(name);
}

/** Writes options as text; they need not be checked yet. */
function keyOf(options: unknown): string {
  if (options === true) return "{}";
  return JSON.stringify(options, (name, value: unknown) => {
    if (name === "subjects" && Array.isArray(value)) return value.map(textOf);
    if (typeof value === "number") return `#${value}`; // JSON has no Infinity
    return value instanceof Object && !Array.isArray(value) ? sorted(value) : value;
  });
}

function textOf(subject: SubjectFilter): unknown {
  return subject !== null && typeof subject === "object" ? subject.filter : subject;
}

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1));
}
