import type { ClientCore } from "./core.ts";

const created = new WeakMap<ClientCore, Set<string>>();

/** Counts a stream that was made through the client. */
export function noteStream(core: ClientCore, name: string): void {
  let names = created.get(core);
  if (names === undefined) {
    const fresh = new Set<string>();
    created.set(core, fresh);
    core.telemetry.gauge("knownStreams", () => fresh.size); // ends with the client's telemetry
    names = fresh;
  }
  names.add(name);
}

/** No longer counts a stream that was deleted. */
export function forgetStream(core: ClientCore, name: string): void {
  created.get(core)?.delete(name);
}
