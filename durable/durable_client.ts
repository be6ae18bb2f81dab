import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { checkDurationMs, checkOptions, checkSignal } from "../client/validate.ts";
import { checkName } from "./_check_name.ts";
import { DurableClientCore } from "./_durable_client_core.ts";
import { checkStorage, type StorageOptions } from "./ensure_namespace.ts";
import { DEFAULT_CALL_TIMEOUT_MS, type InvocationHandle } from "./invocation_handle.ts";
import { Namespace } from "./namespace.ts";
import type { Workflow, WorkflowRef } from "./workflow.ts";

/** Settings of a durable client: the same as those of the workers. */
export interface DurableClientOptions extends StorageOptions {
  /** Namespace of the streams and buckets. @default "default" */
  readonly namespace?: string | undefined;
}

/** Settings of one start. */
export interface StartOptions {
  /**
   * Id of the invocation: at most one invocation of a workflow has it, however often and from
   * wherever it is started. Any non-empty, well-formed string up to 255 encoded bytes.
   * @default a random UUID
   */
  readonly id?: string | undefined;
  /** Milliseconds until the command must be stored. @default 10000 */
  readonly timeoutMs?: number | undefined;
  /** Gives up with the signal's reason; a command that was stored by then stays stored. */
  readonly signal?: AbortSignal | undefined;
}

/** Starts workflows and finds their invocations. Holds one subscription, and owns no connection. */
export interface DurableClient extends AsyncDisposable {
  /**
   * Starts an invocation, or attaches to the one that has this id.
   *
   * Resolves when the command is stored: from then on the invocation will run, whatever crashes.
   * Started again with the same id, at any time, it is not run again, and its input stays that of
   * the first start. A reference to a workflow that no worker has ever served is refused, since that
   * is most often a misspelled name; a workflow itself may be started before its first worker.
   *
   * @throws {TypeError} {RangeError} when the workflow, the id or an option is invalid.
   * @throws {JsflowError} `invalid_payload` or `encode_failed` for the input, `payload_too_large`,
   * `unknown_workflow`, `timeout`, `config_drift`; the signal's reason.
   */
  start<I, O>(
    workflow: WorkflowRef<I, O> | Workflow<I, O>,
    input: I,
    options?: StartOptions,
  ): Promise<InvocationHandle<O>>;
  /**
   * Names an invocation that was started elsewhere. Sends nothing.
   *
   * @throws {TypeError} {RangeError} when the workflow or the id is invalid.
   */
  handle<I, O>(workflow: WorkflowRef<I, O> | Workflow<I, O>, id: string): InvocationHandle<O>;
  /** Ends the subscription; the connection stays open. Idempotent. */
  close(): Promise<void>;
}

/**
 * Creates a client for starting workflows. Nothing is sent before its first use.
 *
 * @throws {TypeError} {RangeError} when an option is invalid.
 *
 * @example
 * ```ts
 * import { connect, createDurableClient, workflowRef } from "@x/jsflow";
 *
 * const ship = workflowRef<{ order: string }, { tracking: string }>("ship");
 *
 * export async function main(): Promise<void> {
 *   await using client = await connect();
 *   const durable = createDurableClient(client);
 *   const handle = await durable.start(ship, { order: "o-1" }, { id: "o-1" });
 *   console.log((await handle.result()).tracking);
 * }
 * ```
 */
export function createDurableClient(
  client: Client,
  options: DurableClientOptions = {},
): DurableClient {
  checkOptions("createDurableClient", options, ["namespace", "replicas", "allowUnsafeCas"]);
  const core = new DurableClientCore({
    client,
    names: new Namespace(options.namespace),
    storage: checkStorage(options),
    clock: systemClock,
    random: Math.random,
    newId: () => crypto.randomUUID(),
  });
  return {
    start: async (workflow, input, startOptions = {}) => {
      const { id = crypto.randomUUID(), timeoutMs = DEFAULT_CALL_TIMEOUT_MS, signal } =
        checkOptions("start", startOptions, ["id", "timeoutMs", "signal"]);
      checkTarget(workflow, id);
      checkDurationMs("timeoutMs", timeoutMs, { min: 1 });
      return await core.start(workflow, id, input, {
        timeoutMs,
        signal: checkSignal("signal", signal),
      });
    },
    handle: (workflow, id) => {
      checkTarget(workflow, id);
      return core.handle(workflow, id);
    },
    close: () => core.close(),
    [Symbol.asyncDispose]: () => core.close(),
  };
}

function checkTarget<I, O>(workflow: WorkflowRef<I, O>, id: string): void {
  if (typeof workflow?.name !== "string" || typeof workflow.input?.encode !== "function") {
    throw new TypeError(
      `expected what workflow() or workflowRef() returns, got ${
        typeof workflow === "string" ? `the string "${workflow}"` : typeof workflow
      }`,
    );
  }
  checkName(id, { what: "invocation id" });
}
