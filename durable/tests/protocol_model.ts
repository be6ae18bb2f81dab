import {
  decide,
  type Decision,
  type DeliveredCommand,
  nextTakeovers,
  type Part,
  type Then,
} from "../decide.ts";
import { isTerminal, type JournalState } from "../journal_state.ts";
import { events, inboxOf } from "./journal_builder.ts";
import { ancestorAt, type JournalNode, JournalTree, type ModelRecord } from "./model_journal.ts";

/** What comes in from outside, once each. */
export type ModelCommand = "start" | "signal" | "cancel" | "pause" | "resume" | "reopen" | "wake";

/** What the workflow's code does next: a step, or a wait for a signal. */
export type ModelOperation = "run" | "wait";

/** Mistakes that the model must find. */
export type PlantedBug =
  /** A resume of what seems to run is acked without being journaled, and what it read was old. */
  | "resume acked on a stale read"
  /** A pause of what seems to be paused is acked without being journaled, likewise. */
  | "pause acked on a stale read"
  /** The server appends whatever sequence the writer expects. */
  | "no compare-and-set"
  /** A conflict is answered by appending again without looking who owns the invocation. */
  | "conflict without a look at the owner"
  /** Finding its own record in the tail, a worker overlooks the claim behind it. */
  | "own record hides a newer claim"
  /** A start runs whatever the journal says. */
  | "start runs without the journal"
  /** The command is acked before `suspended` is accepted. */
  | "ack before suspended"
  /** An unknown append counts as refused and is built anew under another id. */
  | "unknown append counts as refused"
  /** A second starter is acked without being listed. */
  | "start acked without attaching"
  /** A hand-over acks its command. */
  | "release acks";

/** Size and content of one exploration. */
export interface ModelOptions {
  readonly program: readonly ModelOperation[];
  readonly commands: readonly ModelCommand[];
  /** Commands that can be in work at the same time, each in a worker of its own. */
  readonly workers: number;
  /** How many times something may go wrong on the way. */
  readonly faults: number;
  readonly maxTakeovers: number;
  /** How many records a stale read may lack. */
  readonly staleRecords: number;
  /** Whether the last step fails the invocation. */
  readonly fails?: boolean | undefined;
  readonly bug?: PlantedBug | undefined;
}

/** One command in the hands of one worker. */
interface Task {
  readonly command: number;
  readonly phase: "append" | "unknown" | "running" | "ack";
  /** The journal as this worker knows it. */
  readonly view: JournalNode;
  /** The record on its way, and what follows when it is accepted. */
  readonly record?: ModelRecord | undefined;
  readonly then?: Then | "stop" | "go on" | undefined;
  /** The claim that it runs under. */
  readonly epoch: number;
  readonly owner: string;
  /** Operation whose function runs, and operation whose outcome is not in the journal yet; or -1. */
  readonly step: number;
  readonly done: number;
}

/** A record that may still reach the server though its writer has given up on the answer. */
interface Late {
  readonly view: JournalNode;
  readonly record: ModelRecord;
}

/** Everything at one moment. */
export interface ModelState {
  readonly journal: JournalNode;
  readonly tasks: readonly Task[];
  readonly late: readonly Late[];
  /** By command, as bits: acked; an ack is on its way; start delivered before; starter told. */
  readonly acked: number;
  readonly acking: number;
  readonly delivered: number;
  readonly told: number;
  readonly faults: number;
}

/** A step of the model. */
export interface Move {
  readonly label: string;
  readonly next: ModelState;
  /** True when something went wrong: progress may not depend on it. */
  readonly fault: boolean;
}

/** The protocol with workers and a server that fail, around the engine's own `decide` and fold. */
export class ProtocolModel {
  readonly #options: ModelOptions;
  readonly #tree: JournalTree = new JournalTree();

  constructor(options: ModelOptions) {
    this.#options = options;
  }

  get initial(): ModelState {
    const { faults } = this.#options;
    const none = { acked: 0, acking: 0, delivered: 0, told: 0 };
    return { journal: this.#tree.root, tasks: [], late: [], ...none, faults };
  }

  /** One text for all states whose future is the same: workers and old records have no names. */
  keyOf({ journal, tasks, late, acked, acking, delivered, told, faults }: ModelState): string {
    const { staleRecords } = this.#options;
    let tail = "";
    for (let depth = Math.max(0, journal.depth - staleRecords); depth <= journal.depth; depth++) {
      const { meaning, state } = ancestorAt(journal, depth);
      tail += `${meaning} ${journal.state.epoch - state.epoch},`;
    }
    const held = tasks.map((task) => keyOfTask(task, journal, staleRecords)).sort().join(";");
    const lost = late.map((record) => keyOfLate(record, journal)).sort().join(";");
    return `${tail}|${acked}.${acking}.${delivered}.${told}.${faults}|${held}|${lost}`;
  }

  /** What is wrong in this state, whatever comes next. */
  violation({ journal: { state }, acked }: ModelState): string | undefined {
    if (state.fault) return state.fault.message;
    if (state.status === "active" || state.status === "released") {
      const owned = acked & bit(state.commandSeq - 1);
      if (owned) return `${state.status}, but the command of its claim is acked`;
    }
    const lost = this.#options.commands.findIndex((kind, command) =>
      acked & bit(command) && !this.#isSafe(kind, command, state)
    );
    return lost < 0 ? undefined : `${this.#name(lost)} is acked, but the journal does not hold it`;
  }

  #isSafe(kind: ModelCommand, command: number, state: JournalState): boolean {
    if (isTerminal(state)) return true;
    if (kind === "start") return state.started !== undefined;
    return state.eventIds.has(String(command));
  }

  /** Whether nothing is left to do, and the journal says why. */
  isRest({ journal, tasks, acked, told }: ModelState): boolean {
    const { commands } = this.#options;
    if (tasks.length > 0 || acked !== bit(commands.length) - 1) return false;
    const { state } = journal;
    if (isTerminal(state)) {
      return commands.every((kind, command) => kind !== "start" || (told & bit(command)) !== 0);
    }
    if (state.status === "parked" || state.status === "blocked") return true;
    if (state.status !== "suspended") return false;
    if (state.pauseRequested) return true;
    return state.cancelReason === undefined && this.#position(state, -1) === "wait";
  }

  // ------------------------------------------------------------------ moves

  /** Everything that can happen next. */
  moves(state: ModelState): Move[] {
    const moves: Move[] = [];
    const add = (label: string, next: ModelState, cost = 0) => {
      if (state.faults < cost) return;
      const task = next.tasks.find(({ phase }) => phase === "ack");
      if (task) {
        return this.#ackMoves(next, task, (how, then, more = 0) => {
          add(`${label}; ${how}`, then, cost + more);
        });
      }
      moves.push({
        label,
        next: { ...settle(next), faults: state.faults - cost },
        fault: cost > 0,
      });
    };
    this.#deliveries(state, add);
    for (const late of state.late) {
      const rest = state.late.filter((other) => other !== late);
      const journal = this.#tree.append(state.journal, late.record);
      add(`a delayed append arrives: ${show(late.record)}`, { ...state, journal, late: rest });
      add(`a delayed append is lost: ${show(late.record)}`, { ...state, late: rest });
    }
    for (const task of state.tasks) this.#taskMoves(state, task, add);
    return moves;
  }

  #deliveries(state: ModelState, add: Add): void {
    for (let command = 0; command < this.#options.commands.length; command++) {
      const mask = bit(command);
      if (state.acking & mask) {
        const acking = state.acking & ~mask;
        add(`the delayed ack of ${this.#name(command)} arrives`, {
          ...state,
          acking,
          acked: state.acked | mask,
        });
        add(`the delayed ack of ${this.#name(command)} is lost`, { ...state, acking });
      }
      const free = state.tasks.length < this.#options.workers;
      if (!(state.acked & mask) && free) this.#deliver(state, command, add);
    }
  }

  #deliver(state: ModelState, command: number, add: Add): void {
    const mask = bit(command);
    const early = state.tasks.some((task) => task.command === command) ? 1 : 0;
    const how = early ? "delivered again while it is in work" : "delivered";
    const start = this.#options.commands[command] === "start";
    const base = start ? { ...state, delivered: state.delivered | mask } : state;
    const hand = (view: JournalNode, cost: number, read: string) => {
      const idle = { command, view, epoch: 0, owner: "", step: -1, done: -1 } as const;
      add(`${this.#name(command)} is ${how}${read}`, this.#judge(base, undefined, idle), cost);
    };
    // A start that was never delivered before is tried without a look at the journal.
    if (start && !(state.delivered & mask)) return hand(this.#tree.root, early, ", taken for new");
    hand(state.journal, early, "");
    if (state.faults < early + 1) return;
    const end = state.journal.depth;
    for (let depth = Math.max(0, end - this.#options.staleRecords); depth < end; depth++) {
      hand(ancestorAt(state.journal, depth), early + 1, `, read as of record ${depth}`);
    }
  }

  #taskMoves(state: ModelState, task: Task, add: Add): void {
    const who = `the worker on ${this.#name(task.command)}`;
    add(`${who} dies`, replace(state, task), 1);
    switch (task.phase) {
      case "ack":
        return;
      case "running":
        return this.#runMoves(state, task, add, who);
      case "append":
        if (this.#fits(state, task)) return this.#appendMoves(state, task, add, who);
        return this.#tailMoves(state, task, add, `${who} has a conflict`);
      case "unknown":
        return this.#tailMoves(state, task, add, `${who} got no answer`);
    }
  }

  #ackMoves(state: ModelState, task: Task, add: Add): void {
    const mask = bit(task.command);
    const gone = replace(state, task);
    const name = this.#name(task.command);
    add(`${name} is acked`, { ...gone, acked: state.acked | mask });
    add(`the ack of ${name} is lost`, gone, 1);
    add(`the ack of ${name} is delayed`, { ...gone, acking: state.acking | mask }, 1);
  }

  #runMoves(state: ModelState, task: Task, add: Add, who: string): void {
    const { step } = task;
    const finished = { ...task, step: -1, done: step };
    add(`${who} has finished step ${step}`, this.#plan(state, task, finished));
    if (state.journal !== task.view) {
      const seen = { ...task, view: state.journal };
      add(`${who} looks at the tail`, this.#plan(state, task, seen));
    }
    const released = this.#offer(state, { ...task, step: -1 }, ["released"], "stop");
    add(`${who} closes`, replace(state, task, released), 1);
  }

  #fits({ journal }: ModelState, { view }: Task): boolean {
    return journal === view || this.#options.bug === "no compare-and-set";
  }

  #appendMoves(state: ModelState, task: Task, add: Add, who: string): void {
    const record = task.record as ModelRecord;
    const journal = this.#tree.append(state.journal, record, task.view);
    const what = `${who} appends ${show(record)}`;
    const written = { ...state, journal };
    add(what, this.#accepted(written, task, { ...task, view: journal }));
    const unknown: Task = { ...task, phase: "unknown" };
    add(`${what}, the answer is lost`, replace(written, task, unknown), 1);
    add(`${what}, which is lost`, replace(state, task, unknown), 1);
    const late = [...state.late, { view: task.view, record }];
    add(`${what}, which is delayed`, replace({ ...state, late }, task, unknown), 1);
  }

  /** Reads the tail, all of it or as it was a while ago, and goes on as it says. */
  #tailMoves(state: ModelState, task: Task, add: Add, who: string): void {
    const { journal } = state;
    const { view } = task;
    if (journal === view) {
      return add(`${who}, offers it again`, replace(state, task, { ...task, phase: "append" }));
    }
    const oldest = Math.max(view.depth + 1, journal.depth - this.#options.staleRecords);
    for (let depth = oldest; depth <= journal.depth; depth++) {
      const seen = ancestorAt(journal, depth);
      const how = seen === journal ? "reads the tail" : `reads up to record ${depth}`;
      add(`${who}, ${how}`, this.#readTail(state, task, seen), seen === journal ? 0 : 1);
    }
  }

  #readTail(state: ModelState, task: Task, seen: JournalNode): ModelState {
    const mine = isWritten(task, seen);
    const read = { ...task, view: seen };
    if (mine && this.#options.bug !== "unknown append counts as refused") {
      return this.#accepted(state, task, read);
    }
    return task.epoch > 0 ? this.#plan(state, task, read) : this.#judge(state, task, read);
  }

  // ------------------------------------------------------------------ what a worker does

  /** Decides about a command as it is known now. */
  #judge(
    state: ModelState,
    task: Task | undefined,
    idle: Omit<Task, "phase">,
  ): ModelState {
    const decision = this.#decide(idle, idle.view !== state.journal);
    switch (decision.do) {
      case "defer":
      case "drop":
        return replace(state, task);
      case "settle":
        return this.#settled(state, task, { ...idle, phase: "ack" }, decision.then);
      case "park": {
        const parts = [this.#claim(idle), "parked"];
        return replace(state, task, this.#offer(state, { ...idle, phase: "append" }, parts, "ack"));
      }
      case "append": {
        const parts = decision.parts.map((part) => this.#part(part, idle));
        const offer = this.#offer(state, { ...idle, phase: "append" }, parts, decision.then);
        return replace(state, task, offer);
      }
    }
  }

  #decide({ command, view: { state } }: Omit<Task, "phase">, isStale: boolean): Decision {
    const { bug, maxTakeovers, commands } = this.#options;
    const kind = commands[command];
    if (bug === "start runs without the journal" && kind === "start") {
      return { do: "append", parts: ["claim", "started"], then: "run" };
    }
    const runs = isStale && state.started !== undefined && !state.pauseRequested;
    if (bug === "resume acked on a stale read" && kind === "resume" && runs) {
      return { do: "settle", then: "ack" };
    }
    const paused = isStale && state.pauseRequested;
    if (bug === "pause acked on a stale read" && kind === "pause" && paused) {
      return { do: "settle", then: "ack" };
    }
    const decision = decide(state, this.#toCommand(command), maxTakeovers);
    if (bug === "start acked without attaching" && decision.do === "append") {
      if (decision.parts[0] === "attached") return { do: "settle", then: "ack" };
    }
    return decision;
  }

  #toCommand(command: number): DeliveredCommand {
    const kind = this.#options.commands[command] as ModelCommand;
    const seq = command + 1;
    if (kind === "start") return { kind, party: inboxOf(String(command)), seq };
    return { kind: "event", event: events[kind](String(command)), seq };
  }

  #part(part: Part, task: Omit<Task, "phase">): string {
    const { command } = task;
    switch (part) {
      case "claim":
        return this.#claim(task);
      case "started":
      case "attached":
        return `${part} ${command}`;
      case "event":
        return `event ${this.#options.commands[command]} ${command}`;
      default:
        return part;
    }
  }

  #claim({ command, view }: Omit<Task, "phase">): string {
    return `claimed ${command + 1} ${nextTakeovers(view.state)}`;
  }

  /** The record is in the journal, and `task.view` is what was read after it. */
  #accepted(state: ModelState, before: Task, task: Task): ModelState {
    const { then, record } = task;
    if (task.epoch === 0) {
      if (then !== "run") return this.#settled(state, before, task, then as "ack");
      const { epoch, owner } = record as ModelRecord;
      return this.#plan(state, before, { ...task, epoch, owner, step: -1, done: -1 });
    }
    const blind = this.#options.bug === "own record hides a newer claim";
    if (!blind && !owns(task)) return replace(state, before);
    if (then === "go on") return this.#plan(state, before, { ...task, done: -1 }, blind);
    if (record?.parts.at(-1) === "released" && this.#options.bug !== "release acks") {
      return replace(state, before);
    }
    return this.#settled(state, before, task, isTerminal(task.view.state) ? "finalise" : "ack");
  }

  #settled(
    state: ModelState,
    before: Task | undefined,
    task: Task,
    then: Exclude<Then, "run">,
  ): ModelState {
    const { command, view } = task;
    let { told } = state;
    if (then === "finalise") {
      if (this.#options.commands[command] === "start") told |= bit(command);
      for (const key of view.state.parties.keys()) told |= bit(Number(key.split(" ")[1]));
    }
    const last = { command, view: this.#tree.root, epoch: 0, owner: "", step: -1, done: -1 };
    return replace({ ...state, told }, before, { ...last, phase: "ack" });
  }

  /** What an owner does now: run a step, or append what there is to append. */
  #plan(state: ModelState, before: Task, task: Task, blind = false): ModelState {
    const careless = blind || this.#options.bug === "conflict without a look at the owner";
    const { fault } = task.view.state;
    if (fault || !(careless || owns(task))) return replace(state, before);
    const running: Task = { ...task, phase: "running", record: undefined, then: undefined };
    if (task.step >= 0) return replace(state, before, running);
    const parts = task.done >= 0 ? [`outcome ${task.done}`] : [];
    const next = this.#next(task);
    if (typeof next === "number" && parts.length === 0) {
      return replace(state, before, { ...running, step: next });
    }
    if (typeof next === "number") {
      return replace(state, before, this.#offer(state, task, parts, "go on"));
    }
    const offer = this.#offer(state, task, [...parts, next], "stop");
    const acked = next === "suspended" && this.#options.bug === "ack before suspended";
    const base = acked ? { ...state, acked: state.acked | bit(task.command) } : state;
    return replace(base, before, offer);
  }

  /** The step to begin, or the entry to stop with. */
  #next({ view, done }: Task): number | "completed" | "failed" | "cancelled" | "suspended" {
    const position = this.#position(view.state, done);
    if (position === "end") return this.#options.fails ? "failed" : "completed";
    if (view.state.cancelReason !== undefined) return "cancelled";
    if (view.state.pauseRequested || position === "wait") return "suspended";
    return position;
  }

  /** Where the code stands, with the outcomes of the journal and the one that is to be appended. */
  #position({ outcomes, timeline }: JournalState, done: number): number | "wait" | "end" {
    let signals =
      timeline.filter(({ kind }) => kind.case === "event" && kind.value.kind.case === "signal")
        .length;
    for (const [index, operation] of this.#options.program.entries()) {
      if (operation === "wait" && --signals < 0) return "wait";
      if (operation === "run" && index !== done && !outcomes.has(index)) return index;
    }
    return "end";
  }

  /** The task with a record on its way; its id differs from those offered at the same place. */
  #offer(state: ModelState, task: Task, parts: readonly string[], then: Task["then"]): Task {
    const claims = parts.some((part) => part.startsWith("claimed"));
    const epoch = claims ? task.view.state.epoch + 1 : task.epoch;
    const text = `${parts.join("+")} @${task.owner || task.command}`;
    const taken = new Set<string | undefined>([
      ...state.tasks.filter(({ view }) => view === task.view).map(({ record }) => record?.id),
      ...state.late.map(({ record }) => record.id),
    ]);
    if (state.journal.depth > task.view.depth) {
      taken.add(ancestorAt(state.journal, task.view.depth + 1).record?.id);
    }
    let tag = 0;
    while (taken.has(`${text} ${tag}`)) tag++;
    const owner = claims ? `${epoch}.${task.command}.${tag}` : task.owner;
    const record = { id: `${text} ${tag}`, parts, epoch, owner, tag };
    return { ...task, phase: "append", record, then };
  }

  #name(command: number): string {
    return `${this.#options.commands[command]} ${command}`;
  }
}

type Add = (label: string, next: ModelState, cost?: number) => void;

function bit(command: number): number {
  return 1 << command;
}

function owns({ view: { state }, epoch, owner }: Task): boolean {
  return state.epoch === epoch && state.owner === owner;
}

function replace(state: ModelState, before: Task | undefined, after?: Task): ModelState {
  const tasks = state.tasks.filter((task) => task !== before);
  return { ...state, tasks: after ? [...tasks, after] : tasks };
}

/** A delayed append whose place was taken can never be accepted. */
function settle(state: ModelState): ModelState {
  const late = state.late.filter(({ view }) => view === state.journal);
  return late.length === state.late.length ? state : { ...state, late };
}

function keyOfTask(task: Task, journal: JournalNode, staleRecords: number): string {
  const { command, phase, view, record, then, epoch, step, done } = task;
  const behind = Math.min(journal.depth - view.depth, staleRecords + 1);
  const written = behind > 0 && isWritten(task, journal);
  const age = epoch > 0 ? journal.state.epoch - epoch : "-";
  const local =
    `${command},${phase},${then},${age},${step},${done},${record?.parts},${record?.tag}`;
  return `${local},${view.meaning},${journal.state.epoch - view.state.epoch},${behind},${written}`;
}

function keyOfLate({ record: { parts, tag, epoch } }: Late, journal: JournalNode): string {
  return `${parts} ${tag} ${epoch > 0 ? journal.state.epoch - epoch : "-"}`;
}

function isWritten({ view, record }: Task, journal: JournalNode): boolean {
  const after = ancestorAt(journal, view.depth + 1);
  return after.parent === view && after.record?.id === record?.id;
}

function show({ parts, epoch }: ModelRecord): string {
  return `[${parts.join(", ")}] under epoch ${epoch}`;
}
