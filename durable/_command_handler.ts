import { getLogger } from "@logtape/logtape";
import { create } from "@bufbuild/protobuf";
import type { Client } from "../client/client.ts";
import type { Clock } from "../client/clock.ts";
import { toDelivered } from "./command.ts";
import {
  decide,
  type Decision,
  type DeliveredCommand,
  nextTakeovers,
  type Part,
  type Then,
} from "./decide.ts";
import type { OpenNamespace } from "./ensure_namespace.ts";
import { cancelled, claimed, entry, parked, suspended } from "./_entries.ts";
import { Execution, type Stop } from "./execution.ts";
import { confirm, finalise, publishSummary } from "./_finalise.ts";
import {
  AttachedSchema,
  type Command,
  type Entry,
  type Party,
  ReopenedSchema,
  StartedSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { Inflight } from "./_inflight.ts";
import { Journal, JournalLostError, type Writer } from "./journal.ts";
import { JournalStore } from "./journal_store.ts";
import { untilAnswered } from "./_until_answered.ts";
import { type Turn, Turns } from "./_turns.ts";
import type { AnyWorkflow } from "./workflow.ts";

const logger = getLogger(["jsflow", "durable"]);

/** What the handling of commands needs from the worker. */
export interface HandlerOptions {
  readonly client: Client;
  readonly space: OpenNamespace;
  readonly worker: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  /** Names the owner of the next claim: `<nonce of this worker>.<number>`. */
  readonly newOwner: () => string;
  readonly ackWaitMs: number;
  readonly maxTakeovers: number;
  readonly replayStallMs: number;
  /** Aborts when the worker must stop at once. */
  readonly signal: AbortSignal;
  /** True once the worker takes on nothing new. */
  readonly isClosing: () => boolean;
  /**
   * Takes a place to run an invocation; returns what gives it back, or undefined when the command is
   * to come back later.
   */
  readonly enter: (command: Inflight) => Promise<(() => void) | undefined>;
}

/** What to tell the server of a command once it was handled. */
export type Settlement =
  | { readonly kind: "ack" }
  | { readonly kind: "nak"; readonly delayMs: number }
  /** Say nothing: it is delivered again after the ack wait, here or elsewhere. */
  | { readonly kind: "drop" };

/** Carries out what {@link decide} says about one command. */
export class CommandHandler {
  readonly #options: HandlerOptions;
  readonly #store: JournalStore;
  readonly #turns = new Turns();

  constructor(options: HandlerOptions) {
    this.#options = options;
    this.#store = new JournalStore(options.client, options.space.names.journal);
  }

  /** Handles a command to its end; the invocation may run for long under it. */
  async handle(
    command: Command,
    workflow: AnyWorkflow,
    inflight: Inflight,
  ): Promise<Settlement> {
    const subject = this.#options.space.names.journalSubject(command.workflow, command.id);
    const context = { ...this.#options, store: this.#store };
    const turn = await this.#turns.take(subject, () => new Journal(subject, context));
    const task = new CommandTask(command, workflow, inflight, this.#options, turn);
    try {
      const settlement = await task.run();
      turn.leave(turn.journal);
      return settlement;
    } catch (error) {
      if (error instanceof JournalLostError) return DROP;
      throw error;
    } finally {
      turn.leave();
    }
  }
}

const ACK: Settlement = { kind: "ack" };
const DROP: Settlement = { kind: "drop" };

/** One command on its way. */
class CommandTask {
  readonly #command: Command;
  readonly #delivered: DeliveredCommand;
  readonly #workflow: AnyWorkflow;
  readonly #inflight: Inflight;
  readonly #options: HandlerOptions;
  readonly #journal: Journal;
  readonly #turn: Turn;

  constructor(
    command: Command,
    workflow: AnyWorkflow,
    inflight: Inflight,
    options: HandlerOptions,
    turn: Turn,
  ) {
    this.#command = command;
    this.#workflow = workflow;
    this.#inflight = inflight;
    this.#options = options;
    this.#delivered = toDelivered(command, inflight.delivery);
    this.#turn = turn;
    this.#journal = turn.journal;
  }

  async run(): Promise<Settlement> {
    const { signal, maxTakeovers } = this.#options;
    // A start that was never delivered before is most likely the first: no need to read.
    const first = this.#delivered.kind === "start" && this.#inflight.delivery.deliveryCount === 1;
    if (!first) await this.#journal.load(signal);
    for (;;) {
      const decision = decide(this.#journal.state, this.#delivered, maxTakeovers);
      const settlement = await this.#carryOut(decision);
      if (settlement) return settlement;
    }
  }

  /** Undefined when somebody else's record came first: decide again. */
  async #carryOut(decision: Decision): Promise<Settlement | undefined> {
    switch (decision.do) {
      case "settle":
        return await this.#settle(decision.then);
      case "defer":
        return await this.#defer();
      case "drop":
        return DROP;
      case "park":
        return await this.#park();
      case "append":
        if (decision.then === "run") return await this.#claimAndRun(decision.parts);
        if (!await this.#append(decision.parts, this.#writer(decision.parts))) return undefined;
        this.#nudgeOwner();
        return await this.#settle(decision.then);
    }
  }

  /** The owner would see the event at its next append or heartbeat: this is sooner. */
  #nudgeOwner(): void {
    const { client, space } = this.#options;
    const { status, owner } = this.#journal.state;
    if (status !== "active" || !OWNER.test(owner)) return;
    client.connection.publish(space.names.nudgeSubject(owner));
  }

  async #settle(then: Exclude<Then, "run">): Promise<Settlement> {
    const { client } = this.#options;
    const { state } = this.#journal;
    if (then === "finalise") {
      const { kind } = this.#command;
      const starter = kind.case === "start" ? kind.value.party : undefined;
      await this.#finalise(starter);
    } else if (state.status === "suspended") {
      await this.#publishSummary();
    }
    confirm(client, this.#command.confirm, state);
    return ACK;
  }

  async #defer(): Promise<Settlement> {
    const { ackWaitMs } = this.#options;
    const { workflow, id } = this.#command;
    const fault = this.#journal.state.fault?.message;
    logger.error("{workflow}/{id} is quarantined: {fault}", { workflow, id, fault });
    await this.#publishSummary();
    return { kind: "nak", delayMs: ackWaitMs };
  }

  /** Too many workers died over it: somebody must look before it runs again. */
  async #park(): Promise<Settlement | undefined> {
    if (!this.#inflight.isFresh) return DROP;
    const { worker } = this.#options;
    const { state } = this.#journal;
    const writer = this.#claimant();
    const takeovers = nextTakeovers(state);
    const entries = [claimed(this.#delivered, worker, takeovers), parked(takeovers - 1)];
    if (!await this.#journal.append(entries, writer, this.#options.signal)) return undefined;
    const { workflow, id } = this.#command;
    logger.error("{workflow}/{id} is parked after {takeovers} takeovers without an outcome", {
      workflow,
      id,
      takeovers: takeovers - 1,
    });
    await this.#publishSummary();
    return ACK;
  }

  async #claimAndRun(parts: readonly Part[]): Promise<Settlement | undefined> {
    const leave = await this.#options.enter(this.#inflight);
    if (!leave) return { kind: "nak", delayMs: BUSY_DELAY_MS };
    try {
      if (this.#options.isClosing()) return { kind: "nak", delayMs: 0 };
      if (!this.#inflight.isFresh) return DROP;
      const writer = this.#claimant();
      if (!await this.#append(parts, writer)) return undefined;
      this.#turn.leave(); // the journal is the execution's from here on
      confirm(this.#options.client, this.#command.confirm, this.#journal.state);
      return await this.#execute(writer);
    } finally {
      leave();
    }
  }

  async #execute(writer: Writer): Promise<Settlement> {
    const { client, ...options } = this.#options;
    const execution = new Execution({
      ...options,
      workflow: this.#workflow,
      id: this.#command.id,
      journal: this.#journal,
      writer,
      maxRecordBytes: client.maxPayloadBytes - RECORD_MARGIN_BYTES,
      isFresh: () => this.#inflight.isFresh,
    });
    this.#inflight.execution = execution;
    // The worker may have begun to close while the claim was on its way.
    if (options.isClosing()) execution.release({ force: false });
    try {
      return await this.#afterStop(await execution.run());
    } finally {
      this.#inflight.execution = undefined;
    }
  }

  async #afterStop(stop: Stop): Promise<Settlement> {
    const { state } = this.#journal;
    switch (stop) {
      case "terminal":
        await this.#finalise();
        return ACK;
      case "suspended":
      case "blocked":
        if (state.blocked) this.#reportBlocked(state.blocked.reason);
        await this.#publishSummary();
        return ACK;
      case "released":
        return { kind: "nak", delayMs: 0 };
      case "quarantined":
        return await this.#defer();
      case "fenced":
        return DROP;
    }
  }

  /** A server that is away for a moment must not cost a whole ack wait. */
  async #finalise(starter?: Party): Promise<void> {
    const { client, space, signal } = this.#options;
    const { state } = this.#journal;
    await untilAnswered(this.#options, signal, async () => {
      await finalise(client, space, this.#command, state, starter);
    });
  }

  async #publishSummary(): Promise<void> {
    const { space, signal } = this.#options;
    await untilAnswered(this.#options, signal, async () => {
      await publishSummary(space, this.#command, this.#journal.state);
    });
  }

  #reportBlocked(reason: string): void {
    const { workflow, id } = this.#command;
    logger.error("{workflow}/{id} is blocked: {reason}", { workflow, id, reason });
  }

  async #append(parts: readonly Part[], writer: Writer): Promise<boolean> {
    const entries = parts.map((part) => this.#entry(part));
    return await this.#journal.append(entries, writer, this.#options.signal);
  }

  #writer(parts: readonly Part[]): Writer {
    return parts.includes("claim") ? this.#claimant() : { epoch: 0, owner: this.#options.newId() };
  }

  /** The next claim; its nonce is new, so that no older owner can be taken for it. */
  #claimant(): Writer {
    return { epoch: this.#journal.state.epoch + 1, owner: this.#options.newOwner() };
  }

  #entry(part: Part): Entry {
    const { worker } = this.#options;
    const { kind } = this.#command;
    const { state } = this.#journal;
    switch (part) {
      case "claim":
        return claimed(this.#delivered, worker, nextTakeovers(state));
      case "started": {
        const start = kind.case === "start" ? kind.value : undefined;
        const seed = crypto.getRandomValues(new Uint8Array(SEED_BYTES));
        const value = create(StartedSchema, { ...(start && { start }), seed });
        return entry({ case: "started", value });
      }
      case "attached": {
        const party = kind.case === "start" ? kind.value.party : undefined;
        const value = create(AttachedSchema, party ? { party } : {});
        return entry({ case: "attached", value });
      }
      case "event":
        if (kind.case !== "event") throw new Error(`a ${kind.case} command carries no event`);
        return entry({ case: "event", value: kind.value });
      case "reopened":
        return entry({ case: "reopened", value: create(ReopenedSchema) });
      case "suspended":
        return suspended();
      case "cancelled":
        return cancelled(state.cancelReason ?? cancelReasonOf(this.#command));
    }
  }
}

/** Headers and envelope of a record, beside its entries. */
const RECORD_MARGIN_BYTES = 4_096;
const SEED_BYTES = 16;
/** An event that finds no place to wake its invocation comes back after so long. */
const BUSY_DELAY_MS = 500;
const OWNER = /^[0-9a-f]{32}\.\d+$/;

function cancelReasonOf({ kind }: Command): string {
  if (kind.case !== "event" || kind.value.kind.case !== "cancel") return "";
  return kind.value.kind.value.reason;
}
