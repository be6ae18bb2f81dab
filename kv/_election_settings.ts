import type { RetryPolicy } from "../client/retry_policy.ts";
import { validateRetryPolicy } from "../client/retry_policy.ts";
import { checkDurationMs, checkFunction, checkOptions, checkSignal } from "../client/validate.ts";
import { DEFAULT_LEASE_MS, MIN_LEASE_MS } from "./_lease.ts";
import type { ElectionOptions } from "./election.ts";

/** What the leader does. */
type Lead = NonNullable<ElectionOptions["lead"]>;

/** Options of an election, checked. */
export interface ElectionSettings {
  readonly leaseMs: number;
  readonly lead: Lead | undefined;
  readonly retry: RetryPolicy;
  readonly graceMs: number;
  readonly signal: AbortSignal | undefined;
}

const DEFAULT_RETRY: RetryPolicy = { attempts: Infinity, initialMs: 1_000, maxMs: 30_000 };
const DEFAULT_GRACE_MS = 10_000;
const KEYS: readonly (keyof ElectionOptions)[] = ["leaseMs", "lead", "retry", "graceMs", "signal"];

/** @throws {TypeError | RangeError} for options that make no sense. */
export function checkElection(options: ElectionOptions | undefined): ElectionSettings {
  const given: ElectionOptions = checkOptions<ElectionOptions>("electLeader", options, KEYS);
  const { leaseMs = DEFAULT_LEASE_MS, retry = DEFAULT_RETRY, graceMs = DEFAULT_GRACE_MS } = given;
  return {
    leaseMs: checkDurationMs("electLeader: leaseMs", leaseMs, { min: MIN_LEASE_MS }),
    lead: given.lead === undefined
      ? undefined
      : checkFunction<Lead>("electLeader: lead", given.lead),
    retry: validateRetryPolicy("electLeader: retry", retry),
    graceMs: checkDurationMs("electLeader: graceMs", graceMs),
    signal: checkSignal("electLeader: signal", given.signal),
  };
}
