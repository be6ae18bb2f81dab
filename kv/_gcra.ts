/** How much is let through: `limit` tokens in each `periodMs`, `burst` at once. */
export interface GcraRules {
  readonly limit: number;
  readonly periodMs: number;
  readonly burst: number;
}

/**
 * The theoretical arrival time: when the bucket is full again if nothing more is taken.
 *
 * It is `ms + part / of` milliseconds since 1970, in whole numbers, so that nothing is lost however
 * often something is added.
 */
export interface Arrival {
  readonly ms: number;
  readonly part: number;
  readonly of: number;
}

/** What is taken, and when. */
export interface Taking {
  readonly cost: number;
  /** Milliseconds since 1970, a whole number. */
  readonly now: number;
}

/** What a limit says. */
export interface GcraVerdict {
  readonly isAllowed: boolean;
  /** Milliseconds after which the same may be taken, if nobody else takes any; 0 when allowed. */
  readonly retryAfterMs: number;
  /** Whole tokens that are left. */
  readonly remaining: number;
  /** What is to be stored; undefined when nothing changes. */
  readonly next: Arrival | undefined;
}

/**
 * Judges by the generic cell rate algorithm: a bucket of `burst` tokens, full at first, into which
 * tokens fall evenly. An arrival that lies more than `maxAheadMs` beyond a bucket that is empty now
 * was left by a wrong clock: the bucket counts as empty then, and that is stored.
 */
export function judge(
  stored: Arrival | undefined,
  rules: GcraRules,
  { cost, now, maxAheadMs }: Taking & { readonly maxAheadMs: number },
): GcraVerdict {
  const { limit, periodMs, burst } = rules;
  // Debts and capacity in units of 1 / limit ms, which are whole numbers.
  const capacity = burst * periodMs;
  let debt = stored === undefined ? 0 : debtOf(rescale(stored, limit), now);
  const isWrong = debt > capacity + maxAheadMs * limit;
  if (isWrong) debt = capacity;
  const after = debt + cost * periodMs;
  if (after > capacity) {
    return {
      isAllowed: false,
      retryAfterMs: Math.ceil((after - capacity) / limit),
      remaining: tokensIn(capacity - debt, periodMs),
      next: isWrong ? arrivalAt(now, debt, limit) : undefined,
    };
  }
  return {
    isAllowed: true,
    retryAfterMs: 0,
    remaining: tokensIn(capacity - after, periodMs),
    next: arrivalAt(now, after, limit),
  };
}

/** By how much the arrival lies ahead, in units of 1 / limit ms. */
function debtOf({ ms, part, of }: Arrival, now: number): number {
  return Math.max(0, (ms - now) * of + part);
}

function arrivalAt(now: number, debt: number, limit: number): Arrival {
  return { ms: now + Math.floor(debt / limit), part: debt % limit, of: limit };
}

/** Another limit's fractions count as a whole millisecond. */
function rescale({ ms, part, of }: Arrival, limit: number): Arrival {
  if (of === limit) return { ms, part, of };
  return { ms: part === 0 ? ms : ms + 1, part: 0, of: limit };
}

function tokensIn(room: number, periodMs: number): number {
  return Math.max(0, Math.floor(room / periodMs));
}
