/** One way through a proxy: what clients send, or what they get. */
export type Direction = "toTarget" | "toClient";

/** What is wrong with one direction at the moment; shared by all connections of a proxy. */
export interface Faults {
  delayMs: number;
  bytesPerSecond: number;
  drops: boolean;
  stalls: boolean;
}

/** All is well. */
export function noFaults(): Faults {
  return { delayMs: 0, bytesPerSecond: Infinity, drops: false, stalls: false };
}
