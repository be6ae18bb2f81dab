import { type StepContext, type Workflow, workflow } from "../../durable/mod.ts";

/** Called by each step's function: the effect of the step. */
export type StepEffect = (step: number, context: StepContext) => unknown;

/** Steps of {@link fiveSteps}. */
export const STEPS = 5;

/** A workflow whose result depends on the value of each of its five steps. */
export function fiveSteps(effect: StepEffect): Workflow<number, number> {
  return workflow<number, number>("five", async (ctx, input) => {
    let value = input;
    for (let index = 0; index < STEPS; index++) {
      const before = value;
      value = await ctx.run(`step-${index}`, async (step) => {
        await effect(index, step);
        return before * 2 + index;
      });
    }
    return value;
  });
}

/** What {@link fiveSteps} returns. */
export function fiveStepsResult(input: number): number {
  let value = input;
  for (let index = 0; index < STEPS; index++) value = value * 2 + index;
  return value;
}
