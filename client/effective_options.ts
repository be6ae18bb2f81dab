import type { ConnectDefaults } from "./connect_defaults.ts";

/** What stands in place of a secret. */
export type Redacted = "[redacted]";

/**
 * The options that a client works with: those that were given, completed by the defaults.
 *
 * Deeply frozen, made of plain values, and without any secret: safe for `console.log` and
 * `JSON.stringify`, which turns `Infinity` into `null`.
 */
export interface EffectiveOptions {
  /** The addresses as `host:port`, without credentials. */
  readonly servers: readonly string[];
  /** How the connection is called. */
  readonly name: string;
  /** Milliseconds for connecting. */
  readonly timeoutMs: number;
  /** Milliseconds for a request. */
  readonly requestTimeoutMs: number;
  /** Milliseconds for work under way to finish on close. */
  readonly drainTimeoutMs: number;
  /** Milliseconds between two pings. */
  readonly pingIntervalMs: number;
  /** Pings that may lack an answer. */
  readonly maxPingsOut: number;
  /** How a lost connection is reopened. */
  readonly reconnect: ConnectDefaults["reconnect"] | false;
  /** When the breaker opens. */
  readonly breaker: ConnectDefaults["breaker"] | false;
  /** How often the health is checked. */
  readonly health: ConnectDefaults["health"] | false;
  /** What becomes of messages without a connection. */
  readonly offline: "fail" | ConnectDefaults["offline"];
  /** Where connections without TLS may go. */
  readonly plaintext: "allow" | "loopback";
  /** What is reported; providers as `"[given]"`. */
  readonly telemetry: Readonly<Record<string, boolean | "[given]">>;
  /** The user, also when it came with an address. */
  readonly user?: string;
  /** Whether there is a password. */
  readonly pass?: Redacted;
  /** Whether there is a token. */
  readonly token?: Redacted;
  /** The path of the creds file. */
  readonly credsFile?: string;
  /** Whether there is the content of a creds file. */
  readonly creds?: Redacted;
  /** Whether there is a seed. */
  readonly nkeySeed?: Redacted;
  /** Whether there is a JWT. */
  readonly jwt?: Redacted;
  /** Whether there are native authenticators. */
  readonly authenticator?: Redacted;
  /** TLS settings: paths and flags as they are, certificates as `"[PEM]"`, no key. */
  readonly tls?: Readonly<Record<string, string | boolean>> | null;
  /** Native options: numbers, flags and the inbox prefix as they are, no other value. */
  readonly nats: Readonly<Record<string, string | number | boolean>>;
}
