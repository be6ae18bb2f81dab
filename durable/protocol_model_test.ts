import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { type Exploration, explore } from "./tests/explore.ts";
import {
  type ModelCommand,
  type ModelOperation,
  type ModelOptions,
  type PlantedBug,
  ProtocolModel,
} from "./tests/protocol_model.ts";

// Everything that the protocol promises, checked in every state that a small world can get into:
// the engine's own decisions and its own fold, with workers that die, sleep and come back, commands
// that are delivered twice, answers that are lost or late, and reads of old data.

const isSoak = process.env["JSFLOW_FAULTS"] === "soak";

type Program = readonly ModelOperation[];

const THREE_STEPS: Program = ["run", "run", "run"];
const WITH_WAIT: Program = ["run", "wait", "run"];
const EVENTS = ["signal", "cancel", "pause", "resume"] as const;

/** Each pair of events once: in which order they arrive is up to the exploration. */
function pairsFor(program: Program): (readonly [ModelCommand, ModelCommand])[] {
  // A signal means nothing to code that waits for none.
  const events = program.includes("wait") ? EVENTS : EVENTS.slice(1);
  return events.flatMap((one, index) => events.slice(index).map((two) => [one, two] as const));
}

/** Bounds that are the same for all. */
const BOUNDS = { workers: 2, faults: 1, maxTakeovers: 1, staleRecords: 2 };
const TIMEOUT_MS = isSoak ? 3_600_000 : 120_000;
const MAX_STATES = isSoak ? 6_000_000 : 400_000;

function run(options: Partial<ModelOptions> & Pick<ModelOptions, "program" | "commands">) {
  return explore(new ProtocolModel({ ...BOUNDS, ...options }), MAX_STATES);
}

function describeFinding({ finding }: Exploration): string {
  if (!finding) return "nothing found";
  return [finding.what, ...finding.trace.map((label, index) => `${index + 1}. ${label}`)]
    .join("\n   ");
}

/** Explores a program with every pair of events; prints how much was seen. */
function check(
  what: string,
  program: Program,
  starts: readonly ModelCommand[],
  bounds: Partial<ModelOptions>,
): void {
  test(`nothing breaks the protocol: ${what}`, { timeout: TIMEOUT_MS }, () => {
    let states = 0;
    for (const events of pairsFor(program)) {
      const result = run({ program, commands: [...starts, ...events], ...bounds });
      assert.ok(!result.finding, `${events.join(" and ")}: ${describeFinding(result)}`);
      states += result.states;
    }
    console.log(`${what}: ${states} states`);
  });
}

const one: readonly ModelCommand[] = ["start"];
const two: readonly ModelCommand[] = ["start", "start"];

check("three steps, two starts, one fault", THREE_STEPS, two, {});
check("a wait for a signal, two starts, one fault", WITH_WAIT, two, {});
check("a wait for a signal, two faults", WITH_WAIT, one, { faults: 2 });
if (isSoak) {
  check("three steps, two starts, two faults", THREE_STEPS, two, { faults: 2 });
  check("a wait for a signal, two starts, two faults", WITH_WAIT, two, { faults: 2 });
  check("three workers, two faults", WITH_WAIT, one, { faults: 2, workers: 3 });
  check("two takeovers, three faults", WITH_WAIT, one, { faults: 3, maxTakeovers: 2 });
}

test("nothing breaks the protocol: a wake-up delivered twice", { timeout: TIMEOUT_MS }, () => {
  for (const other of ["signal", "pause", "cancel"] as const) {
    const commands: ModelCommand[] = ["start", "wake", other];
    const result = run({ program: WITH_WAIT, commands, faults: 2 });
    assert.ok(!result.finding, `${other}: ${describeFinding(result)}`);
  }
});

test("nothing breaks the protocol: a failure that is reopened", () => {
  const commands: ModelCommand[] = ["start", "start", "reopen"];
  const result = run({ program: ["run", "run"], commands, faults: 2, fails: true });
  assert.ok(!result.finding, describeFinding(result));
});

/** What it takes to see each mistake, and what it is seen by. */
const planted: Record<PlantedBug, Partial<ModelOptions> & { readonly seen: RegExp }> = {
  "resume acked on a stale read": {
    commands: ["start", "pause", "resume"],
    seen: /resume 2 is acked, but the journal does not hold it/,
  },
  "pause acked on a stale read": {
    commands: ["start", "pause", "pause"],
    seen: /pause \d is acked, but the journal does not hold it/,
  },
  "no compare-and-set": { commands: ["start", "cancel", "pause"], seen: /has forked/ },
  "conflict without a look at the owner": {
    commands: ["start", "cancel"],
    seen: /under the claim of epoch 2/,
  },
  "own record hides a newer claim": {
    commands: ["start"],
    faults: 2,
    seen: /under the claim of epoch 2|follows the end/,
  },
  "start runs without the journal": { commands: two, seen: /started twice|follows the end/ },
  "ack before suspended": {
    commands: ["start", "pause"],
    seen: /active, but the command of its claim is acked/,
  },
  "unknown append counts as refused": {
    commands: ["start", "signal"],
    seen: /nothing leads to an end|decided twice|follows the end|journaled twice/,
  },
  "start acked without attaching": { commands: two, seen: /nothing leads to an end any more/ },
  "release acks": {
    commands: ["start"],
    seen: /released, but the command of its claim is acked/,
  },
};

for (const [bug, { seen, ...options }] of Object.entries(planted)) {
  test(`the model finds a planted bug: ${bug}`, () => {
    const given = { program: THREE_STEPS, commands: one, ...options };
    const sound = run(given);
    assert.ok(!sound.finding, describeFinding(sound));
    const result = run({ ...given, bug: bug as PlantedBug });
    assert.match(result.finding?.what ?? "nothing found", seen);
    console.log(`${bug}: ${describeFinding(result)}`);
  });
}
