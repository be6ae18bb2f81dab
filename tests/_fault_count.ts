import process from "node:process";

/**
 * How often a fault test repeats its fault: the small number in every run of the suite, the large
 * one in a soak (`JSFLOW_FAULTS=soak`).
 */
export function faultCount(counts: { readonly ci: number; readonly soak: number }): number {
  const size = process.env["JSFLOW_FAULTS"] || "ci";
  if (size === "ci" || size === "soak") return counts[size];
  throw new RangeError(`JSFLOW_FAULTS must be "ci" or "soak", got "${size}"`);
}
