import { encodeName } from "../client/names.ts";
import { losslessJson } from "../client/lossless_json.ts";
import { validateRetryPolicy } from "../client/retry_policy.ts";
import {
  checkCodec,
  checkDurationMs,
  checkFunction,
  checkOptions,
  checkString,
} from "../client/validate.ts";
import type { OperationRequest } from "./_replay.ts";
import type { Step } from "./_step.ts";
import {
  DEFAULT_STEP_RETRY,
  type StepContext,
  type StepOptions,
  type WorkflowContext,
} from "./workflow_context.ts";
import type { AnyWorkflow } from "./workflow.ts";

/** What the context needs from the execution behind it. */
export interface ContextHost {
  readonly workflow: AnyWorkflow;
  readonly id: string;
  readonly isReplaying: () => boolean;
  readonly issue: (request: OperationRequest) => Promise<unknown>;
  readonly startStep: (step: Step) => void;
}

/** Builds what a workflow's code is given. */
export function createContext(host: ContextHost): WorkflowContext {
  const { id, workflow } = host;
  return {
    id,
    workflow: workflow.name,
    get isReplaying() {
      return host.isReplaying();
    },
    run: <T>(
      name: string,
      fn: (step: StepContext) => T | Promise<T>,
      options?: StepOptions<T>,
    ): Promise<T> => {
      const result = run(host, name, fn, options ?? {});
      // Awaited later or never: a step's failure must not end the process in the meantime.
      result.catch(() => {});
      return result;
    },
  };
}

async function run<T>(
  host: ContextHost,
  name: string,
  fn: (step: StepContext) => T | Promise<T>,
  options: StepOptions<T>,
): Promise<T> {
  const settings = checkStep(name, fn, options);
  const start = (index: number) => {
    host.startStep({ ...settings, index, idempotencyKey: idempotencyKey(host, index) });
  };
  return await host.issue({ kind: "run", name, codec: settings.codec, start }) as T;
}

/** Longest name of a step, in characters. */
const MAX_STEP_NAME = 255;

function checkStep<T>(
  name: string,
  fn: (step: StepContext) => T | Promise<T>,
  options: StepOptions<T>,
): Omit<Step, "index" | "idempotencyKey"> {
  checkString("step name", name, { maxLength: MAX_STEP_NAME });
  if (!name.isWellFormed()) throw new RangeError("step name must be well-formed Unicode");
  checkFunction(`step "${name}"`, fn);
  checkOptions(`step "${name}"`, options, ["retry", "timeoutMs", "codec"]);
  const { retry = DEFAULT_STEP_RETRY, timeoutMs, codec = losslessJson<T>() } = options;
  validateRetryPolicy(`retry of step "${name}"`, retry);
  if (timeoutMs !== undefined) {
    checkDurationMs(`timeoutMs of step "${name}"`, timeoutMs, { min: 1 });
  }
  return { name, fn, retry, timeoutMs, codec: checkCodec(`codec of step "${name}"`, codec) };
}

/** Workflow and id together name the invocation: two workflows may well share an order's id. */
function idempotencyKey({ workflow, id }: ContextHost, index: number): string {
  const name = encodeName(workflow.name, { what: "workflow name" });
  return `${name}/${encodeName(id, { what: "invocation id" })}/${index}`;
}
