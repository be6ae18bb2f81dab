/** Which keys are meant; all of them when neither is given. */
export interface KeySelection {
  /** Only keys that begin with this text. @default "" */
  readonly prefix?: string | undefined;
  /**
   * Only keys that match this pattern, in which `*` stands for one token and `>` at the end for one
   * or more. @default none
   */
  readonly filter?: string | undefined;
}
