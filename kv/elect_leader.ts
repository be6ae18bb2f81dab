import { checkElection } from "./_election_settings.ts";
import { OpenElection } from "./_open_election.ts";
import { checkName, spaceOf } from "./_space.ts";
import type { Coordination } from "./coordination.ts";
import type { Election, ElectionOptions } from "./election.ts";

/**
 * Stands for election under a name: of all processes that do, at most one leads for sure.
 *
 * At once, without waiting. When the leader closes its election, crashes or is cut off, another one
 * is elected: at once, or after its lease and a tenth of it. Who lost its term stands again by
 * itself. As with every lease, give the token along to what is protected.
 *
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 * @throws {JsflowError} `connection_closed` when the coordination is closed.
 * @throws the signal's reason when it has aborted.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { electLeader, openCoordination } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const coordination = await openCoordination(client);
 *   const election = electLeader(coordination, "cleaner", {
 *     lead: async ({ token, signal }) => {
 *       while (!signal.aborted) {
 *         console.log("cleaning as", token);
 *         await new Promise((resolve) => setTimeout(resolve, 1_000));
 *       }
 *     },
 *   });
 *   election.onEvent((event) => console.log(event.type));
 *   await election.closed;
 * }
 * console.log(main);
 * ```
 */
export function electLeader(
  coordination: Coordination,
  name: string,
  options?: ElectionOptions,
): Election {
  const space = spaceOf(coordination);
  const settings = checkElection(options);
  checkName("the name of an election", name);
  settings.signal?.throwIfAborted();
  return new OpenElection(space, name, settings);
}
