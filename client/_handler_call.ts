import { JsflowError } from "./errors.ts";

/** How a call ended: with the error, when it failed. */
export type CallOutcome = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** One call of a handler: its signal, its deadline, and how it ends. */
export class HandlerCall {
  readonly #timeoutMs: number;
  readonly #counted: (outcome: CallOutcome) => void;
  #settled: ((outcome: CallOutcome) => void) | undefined;
  #controller: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #outcome: CallOutcome | undefined;

  /** `counted` is told once how the call ended. */
  constructor(timeoutMs: number, counted: (outcome: CallOutcome) => void) {
    this.#timeoutMs = timeoutMs;
    this.#counted = counted;
  }

  /** Aborts at the deadline, and when the subscription is ended. Made when asked for. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#outcome?.ok === false) this.#controller.abort(this.#outcome.error);
    return this.#controller.signal;
  }

  /** Whether it is over, perhaps although its handler goes on: what that returns counts no more. */
  get isOver(): boolean {
    return this.#outcome !== undefined;
  }

  /** Has one function told once how the call ended; it must not throw. */
  onSettled(settled: (outcome: CallOutcome) => void): void {
    this.#settled = settled;
  }

  /** Starts the deadline; handlers that return at once never need it. */
  arm(): void {
    if (this.isOver) return;
    const timeoutMs = this.#timeoutMs;
    this.#timer = setTimeout(() => this.fail(deadlineError(timeoutMs)), timeoutMs);
  }

  /** Starts the deadline anew; too late once it is over. */
  heartbeat(): void {
    if (this.#timer === undefined) return; // not armed: the handler has not yielded yet
    clearTimeout(this.#timer);
    this.arm();
  }

  /** Fails the call, while its handler goes on until it minds the signal. */
  fail(error: unknown): void {
    if (!this.#settle({ ok: false, error })) return;
    this.#controller?.abort(error);
  }

  /** The handler has ended, well unless the call has failed before. */
  end(): void {
    this.#settle({ ok: true });
  }

  #settle(outcome: CallOutcome): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    clearTimeout(this.#timer);
    this.#counted(outcome);
    this.#settled?.(outcome);
    return true;
  }
}

function deadlineError(timeoutMs: number): JsflowError {
  return new JsflowError(
    "timeout",
    `cannot handle the message: the handler took longer than ${timeoutMs} ms; call heartbeat() ` +
      "while it works, or give it more time",
  );
}
