// A job that one process does at a time; when that one goes, another takes over.
import { connect, type Coordination, openCoordination } from "@x/jsflow";
import { electLeader } from "@x/jsflow/kv";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const servers = process.env.NATS_URL ?? "127.0.0.1:4222";

/** Two candidates in one process, for the show: elsewhere, each is a process of its own. */
function stand(coordination: Coordination, who: string) {
  return electLeader(coordination, "nightly-cleanup", {
    leaseMs: 2_000, // without a sign of life for that long, another one is elected
    lead: async ({ token, signal }) => {
      // What is cleaned should refuse tokens below the largest that it has seen.
      for (let round = 1; !signal.aborted; round++) {
        console.log(`${who} cleans, round ${round}, token ${token}`);
        await sleep(100, undefined, { signal }).catch(() => {});
      }
    },
  });
}

await using client = await connect({ servers });
await using coordination = await openCoordination(client);

const ann = stand(coordination, "ann");
await ann.elected({ timeoutMs: 10_000 });
const bob = stand(coordination, "bob");
console.log(`bob leads: ${bob.isLeader}`);

await ann.close(); // hands over at once; a crash would cost the lease
const { token } = await bob.elected({ timeoutMs: 10_000 });
console.log(`bob leads with token ${token}`);
await bob.close();
