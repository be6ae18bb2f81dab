import type { Event, Party } from "./gen/jsflow/durable/v1/journal_pb.ts";
import { isPaused, isTerminal, type JournalState, partyKey } from "./journal_state.ts";

/** What a command asks for, without its payload. */
export type CommandKind =
  | { readonly kind: "start"; readonly party: Party | undefined }
  | { readonly kind: "event"; readonly event: Event };

/** A command as it was delivered. */
export type DeliveredCommand = CommandKind & {
  /** Its sequence in the command stream: the same at every delivery. */
  readonly seq: number;
  /** How often it has been delivered, this time included. @default unknown */
  readonly delivery?: number | undefined;
};

/** What to append: names of entries that the caller fills in. */
export type Part =
  | "event"
  | "claim"
  | "started"
  | "attached"
  | "suspended"
  | "cancelled"
  | "reopened";

/**
 * What to do with a command.
 *
 * - `append`: append these entries by compare-and-set, decide again on a conflict, then do `then`.
 * - `settle`: nothing to append.
 * - `park`: it has crashed its workers too often.
 * - `defer`: the journal is quarantined; ask again later.
 * - `drop`: it has gone to somebody else since; say nothing.
 */
export type Decision =
  | { readonly do: "append"; readonly parts: readonly Part[]; readonly then: Then }
  | { readonly do: "settle"; readonly then: Exclude<Then, "run"> }
  | { readonly do: "park" }
  | { readonly do: "defer" }
  | { readonly do: "drop" };

/**
 * - `run`: own the invocation and run it; the command is acked when it stops.
 * - `ack`: ack the command.
 * - `rearm`: it sleeps: publish again what is to wake it (nothing yet: no operation of this version
 *   waits for a timer or a child), then ack.
 * - `finalise`: write the summary, tell the parent and the starters, then ack.
 */
export type Then = "run" | "ack" | "rearm" | "finalise";

/** Claims in a row without a new outcome, after which an invocation is parked. */
export const DEFAULT_MAX_TAKEOVERS = 10;

/**
 * Decides what a command does to an invocation in this state.
 *
 * Pure: the engine runs exactly this function, and so does the model that checks the protocol. A
 * decision counts only if the append that carries it is accepted; a state that was read may be old.
 */
export function decide(
  state: JournalState,
  command: DeliveredCommand,
  maxTakeovers: number = DEFAULT_MAX_TAKEOVERS,
): Decision {
  if (state.fault) return { do: "defer" };
  if (isTerminal(state)) return decideTerminal(state, command);
  if (ownedBy(state, command)) return decideTakeover(state, command, maxTakeovers);
  switch (command.kind) {
    case "start":
      return decideStart(state, command.party);
    case "event":
      return decideEvent(state, command.event);
  }
}

/** Who carries on an invocation: the command whose sequence its latest claim names. */
function ownedBy(state: JournalState, command: DeliveredCommand): boolean {
  const held = state.status === "active" || state.status === "released";
  return held && state.commandSeq === command.seq;
}

function decideTakeover(
  state: JournalState,
  command: DeliveredCommand,
  maxTakeovers: number,
): Decision {
  if (isOutdated(state, command)) return { do: "drop" };
  if (state.status === "active" && nextTakeovers(state) > maxTakeovers) return { do: "park" };
  const fresh = command.kind === "event" && !state.eventIds.has(command.event.id);
  return append(fresh ? ["event", "claim"] : ["claim"], "run");
}

/**
 * Whether it was delivered before the delivery under which somebody runs the invocation: it has
 * waited in the socket of a worker that stood still, and tells nothing about who runs it now.
 */
function isOutdated(state: JournalState, { delivery }: DeliveredCommand): boolean {
  return state.status === "active" && delivery !== undefined && delivery < state.delivery;
}

/** How many claims in a row, the coming one included, have brought no outcome. */
export function nextTakeovers(state: JournalState): number {
  if (state.status !== "active") return 0;
  return state.progressed ? 1 : state.takeovers + 1;
}

function decideStart(state: JournalState, party: Party | undefined): Decision {
  switch (state.status) {
    case "absent":
      return append(["claim", "started"], "run");
    case "early":
      if (state.cancelReason !== undefined) {
        return append(["claim", "started", "cancelled"], "finalise");
      }
      if (state.pauseRequested) return append(["claim", "started", "suspended"], "ack");
      return append(["claim", "started"], "run");
    default:
      return attach(state, party);
  }
}

function attach(state: JournalState, party: Party | undefined): Decision {
  const then = state.status === "suspended" && !isPaused(state) ? "rearm" : "ack";
  const listed = !party?.kind.case || state.parties.has(partyKey(party));
  return listed ? settle(then) : append(["attached"], then);
}

function decideEvent(state: JournalState, event: Event): Decision {
  if (state.eventIds.has(event.id)) return settle(state.status === "suspended" ? "rearm" : "ack");
  if (event.kind.case === "cancel") {
    if (state.status === "absent" || state.status === "early") {
      return append(["event", "cancelled"], "finalise");
    }
    return append(
      state.status === "active" ? ["event"] : ["event", "claim"],
      runUnlessActive(state),
    );
  }
  return wakes(state, event) ? append(["event", "claim"], "run") : append(["event"], "ack");
}

function runUnlessActive(state: JournalState): Then {
  return state.status === "active" ? "ack" : "run";
}

/** Whether an event makes an invocation that nobody runs go on. */
function wakes(state: JournalState, event: Event): boolean {
  const kind = event.kind.case;
  if (kind === "pause") return false;
  if (kind === "resume") {
    return isPaused(state) || state.status === "blocked" || state.status === "parked";
  }
  return (state.status === "suspended" || state.status === "released") && !state.pauseRequested;
}

function decideTerminal(state: JournalState, command: DeliveredCommand): Decision {
  const event = command.kind === "event" ? command.event : undefined;
  const reopens = event?.kind.case === "resume" && event.kind.value.reopen &&
    state.status === "failed" && !state.eventIds.has(event.id);
  return reopens ? append(["reopened", "event", "claim"], "run") : settle("finalise");
}

function append(parts: readonly Part[], then: Then): Decision {
  return { do: "append", parts, then };
}

function settle(then: Exclude<Then, "run">): Decision {
  return { do: "settle", then };
}
