import { encodeName } from "../client/names.ts";
import { checkString } from "../client/validate.ts";

const DEFAULT_NAMESPACE = "default";

const NAMESPACE = /^[A-Za-z0-9_-]{1,32}$/;

/**
 * The streams, buckets and subjects of one namespace: engines of different namespaces on the same
 * server never meet.
 *
 * Workflow names, queues and ids are encoded injectively, so any non-empty, well-formed string is
 * allowed up to 255 encoded bytes.
 */
export class Namespace {
  /** Work queue stream of the commands. */
  readonly commands: string;
  /** Stream of the journals, the only truth. */
  readonly journal: string;
  /** Key-value bucket of the summaries, a derived index. */
  readonly stateBucket: string;
  readonly name: string;

  /** @throws {TypeError} when the name is not 1 to 32 letters, digits, `_` or `-`. */
  constructor(name: string = DEFAULT_NAMESPACE) {
    checkString("namespace", name);
    if (!NAMESPACE.test(name)) {
      throw new TypeError(
        `namespace must be 1 to 32 letters, digits, "_" or "-", got ${JSON.stringify(name)}`,
      );
    }
    this.name = name;
    this.commands = `JSFLOW_${name}_COMMANDS`;
    this.journal = `JSFLOW_${name}_JOURNAL`;
    this.stateBucket = `JSFLOW_${name}_STATE`;
  }

  /** Every command subject of the namespace. */
  get commandFilter(): string {
    return `jsflow.${this.name}.cmd.>`;
  }

  /** Every journal subject of the namespace. */
  get journalFilter(): string {
    return `jsflow.${this.name}.journal.>`;
  }

  /** Where the start command of an invocation is published. */
  startSubject(workflow: WorkflowAddress, id: string): string {
    return this.#command(workflow, "start", NO_PARTITION, id);
  }

  /** Where signals, timers and the other events of an invocation are published. */
  eventSubject(workflow: WorkflowAddress, id: string): string {
    return this.#command(workflow, "event", NO_PARTITION, id);
  }

  /** Filter of the consumer that serves one lane of a queue. */
  laneFilter(queue: string, lane: Lane): string {
    const prefix = `jsflow.${this.name}.cmd.${encodeName(queue, { what: "queue" })}`;
    return lane === "start" ? `${prefix}.start.*.${NO_PARTITION}.*` : `${prefix}.event.>`;
  }

  /** Durable consumer that serves one lane of a queue. */
  laneConsumer(queue: string, lane: Lane): string {
    return `${encodeName(queue, { what: "queue", maxBytes: 200 })}_${lane}`;
  }

  /** The one subject of an invocation's journal. */
  journalSubject(workflow: string, id: string): string {
    return `jsflow.${this.name}.journal.${workflowToken(workflow)}.${idToken(id)}`;
  }

  /** Key of an invocation's summary in the state bucket. */
  stateKey(workflow: string, id: string): string {
    return `${workflowToken(workflow)}.${idToken(id)}`;
  }

  /**
   * Where the owner of a claim hears, over core NATS, that its journal has a new event. Owners are
   * named by nonces of jsflow's own making, which are subject tokens as they are.
   */
  nudgeSubject(owner: string): string {
    return `jsflow.${this.name}.nudge.${owner}`;
  }

  #command(workflow: WorkflowAddress, lane: Lane, partition: string, id: string): string {
    const queue = encodeName(workflow.queue, { what: "queue" });
    const name = workflowToken(workflow.name);
    return `jsflow.${this.name}.cmd.${queue}.${lane}.${name}.${partition}.${idToken(id)}`;
  }
}

/** Starts and events travel in lanes of their own, so that no signal waits behind a backlog. */
export type Lane = "start" | "event";

/** What is needed to reach a workflow: its name and the queue that its workers share. */
export interface WorkflowAddress {
  readonly name: string;
  readonly queue: string;
}

const NO_PARTITION = "-";

function workflowToken(name: string): string {
  return encodeName(name, { what: "workflow name" });
}

function idToken(id: string): string {
  return encodeName(id, { what: "invocation id" });
}
