/** A place where a step waits until the test lets it go on. */
export interface Gate {
  /** Resolves once somebody has come. */
  readonly reached: Promise<void>;
  /** Says that somebody has come, and waits until the gate is open. */
  pass(): Promise<void>;
  /** Lets everybody through, now and later. */
  open(): void;
}

/** A closed gate. */
export function newGate(): Gate {
  const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    reached: reached.promise,
    pass: () => {
      reached.resolve();
      return opened.promise;
    },
    open: () => opened.resolve(),
  };
}
