import type { NatsConnection } from "./native.ts";

/** Bytes after which the server is asked to confirm that it has taken them. */
const CONFIRM_EVERY_BYTES = 4 * 1024 * 1024;
/** Bytes that may be on their way without that: more would pile up in this process. */
export const MAX_UNCONFIRMED_BYTES: number = 16 * 1024 * 1024;
/** What a message takes besides its payload and headers. */
const MESSAGE_BYTES = 64;

interface Counters {
  readonly outBytes: number;
  readonly outMsgs: number;
}

/**
 * How much was handed to a native connection that the server has not taken yet.
 *
 * The native client keeps whatever a silent peer does not take, without bound, and says nothing.
 */
export class SendWindow {
  readonly #connection: NatsConnection;
  readonly #onConfirmed: () => void;
  #asked: number;
  #confirmed: number;

  constructor(connection: NatsConnection, onConfirmed: () => void) {
    this.#connection = connection;
    this.#onConfirmed = onConfirmed;
    this.#asked = this.#confirmed = this.#sent();
  }

  /** Whether more has to wait until `onConfirmed` is called; cheap enough to ask each time. */
  get isFull(): boolean {
    const sent = this.#sent();
    if (sent - this.#asked >= CONFIRM_EVERY_BYTES) this.#confirm(sent);
    return sent - this.#confirmed > MAX_UNCONFIRMED_BYTES;
  }

  /** The connection is lost, and with it all that was on its way. */
  reset(): void {
    this.#asked = this.#confirmed = this.#sent();
  }

  #sent(): number {
    // The native counters as they are, where they can be seen: `stats()` makes an object each time.
    const { protocol } = this.#connection as { protocol?: Counters };
    const { outBytes, outMsgs } = protocol ?? this.#connection.stats();
    return outBytes + MESSAGE_BYTES * outMsgs;
  }

  #confirm(mark: number): void {
    this.#asked = mark;
    const confirmed = () => {
      this.#confirmed = Math.max(this.#confirmed, mark);
      this.#onConfirmed();
    };
    this.#connection.flush().then(confirmed, () => {}); // it fails with the connection: see `reset`
  }
}
