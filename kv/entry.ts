/** What happened to a key. `expire` is reported by nats-server 2.11 and newer only. */
export type Operation = "put" | "delete" | "purge" | "expire";

/** What every revision has. */
export interface EntryFields {
  /** The key, as it was given to the store. */
  readonly key: string;
  /** Its revision: the sequence of the message that stores it, unique and rising in the bucket. */
  readonly revision: number;
  /** When the server stored it, by the server's clock. */
  readonly time: Date;
}

/** A revision that holds a value. */
export interface ValueEntry<T> extends EntryFields {
  /** It is a value. */
  readonly operation: "put";
  /** The value, decoded. */
  readonly value: T;
}

/** A revision that says that there is no value any more. */
export interface RemovalEntry extends EntryFields {
  /** Why there is no value. */
  readonly operation: Exclude<Operation, "put">;
  /** There is none. */
  readonly value?: undefined;
}

/** One revision of a key. */
export type Entry<T> = ValueEntry<T> | RemovalEntry;

/** One revision of a key, as a watch reports it. */
export type Change<T> = Entry<T> & {
  /** Whether it is part of the state at the time when the watch began. */
  readonly initial: boolean;
};
