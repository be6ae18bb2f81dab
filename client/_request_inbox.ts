import { AnswerInbox } from "./_answer_inbox.ts";
import { NotConnectedError } from "./connection_errors.ts";
import type { Abandoned, ClientCore } from "./core.ts";
import { JsflowError } from "./errors.ts";
import type { NatsHeaders, NatsMessage } from "./native.ts";
import { translateError } from "./translate_error.ts";

const NO_RESPONDERS = 503;

/** A request to send, and who is told of its answers. Neither function may throw. */
export interface OpenRequest {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly headers: NatsHeaders | undefined;
  /** An answer of a service. */
  readonly onReply: (message: NatsMessage) => void;
  /** No answer will come any more. Told once. */
  readonly onFailure: (error: Error) => void;
}

const inboxes = new WeakMap<ClientCore, RequestInbox>();

/** Sends a request; returns the function that ends the wait for answers. */
export function openRequest(core: ClientCore, request: OpenRequest): () => void {
  let inbox = inboxes.get(core);
  if (inbox === undefined) {
    inbox = new RequestInbox(core, () => inboxes.delete(core));
    inboxes.set(core, inbox);
  }
  return inbox.open(request);
}

/**
 * Takes the answers to all requests of one client by one subscription.
 *
 * The native client's own cannot be told to stop waiting, and lets requests wait out their time when
 * the connection is lost.
 */
class RequestInbox {
  readonly #inbox: AnswerInbox;
  readonly #forget: () => void;
  readonly #open = new Map<string, OpenRequest>();
  #release: () => void = () => {};
  #isBrief = false;
  #idle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(core: ClientCore, forget: () => void) {
    this.#forget = forget;
    this.#inbox = new AnswerInbox(core.connection, {
      onAnswer: (token, message) => this.#answered(token, message),
      onLost: () => this.#failAll(lost),
      onBack: () => {},
      onRefused: (subject, error) => this.#refused(subject, error),
      onClosed: () => this.#close(),
    });
    try {
      this.#release = core.own({ stop: () => {}, drain: (signal) => this.#drain(signal) });
    } catch {
      this.#isBrief = true; // the client drains: this one ends with the last request
    }
  }

  open(request: OpenRequest): () => void {
    const { subject, payload, headers } = request;
    let token: string;
    try {
      token = this.#inbox.send(subject, payload, headers);
    } catch (error) {
      this.#settle();
      throw translateError(error, `request ${subject}`);
    }
    this.#open.set(token, request);
    return () => {
      if (this.#open.delete(token)) this.#settle();
    };
  }

  #answered(token: string, message: NatsMessage): void {
    const request = this.#open.get(token);
    if (request === undefined) return; // nobody waits any more
    if (message.data.length > 0 || message.headers?.code !== NO_RESPONDERS) {
      return request.onReply(message);
    }
    this.#fail(token, noResponders);
  }

  #refused(subject: string | undefined, error: Error): void {
    const translate = (to: string) => translateError(error, `request ${to}`);
    for (const [token, request] of [...this.#open]) {
      if (subject === undefined || request.subject === subject) this.#fail(token, translate);
    }
  }

  #failAll(errorFor: (subject: string) => Error): void {
    for (const token of [...this.#open.keys()]) this.#fail(token, errorFor);
  }

  #fail(token: string, errorFor: (subject: string) => Error): void {
    const request = this.#open.get(token);
    if (request === undefined) return;
    this.#open.delete(token);
    request.onFailure(errorFor(request.subject));
    this.#settle();
  }

  /** Handlers that are drained at the same time may still ask others, so it outlasts its drain. */
  async #drain(signal: AbortSignal): Promise<readonly Abandoned[]> {
    this.#isBrief = true;
    const end = () => this.#idle?.();
    signal.addEventListener("abort", end, { once: true });
    if (this.#open.size > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => this.#idle = resolve);
    }
    signal.removeEventListener("abort", end);
    const count = this.#open.size;
    this.#failAll(closed);
    this.#settle();
    await this.#closing;
    return count === 0 ? [] : [{ what: "requests under way", count }];
  }

  #settle(): void {
    if (this.#open.size > 0) return;
    this.#idle?.();
    if (this.#isBrief) this.#close();
  }

  #close(): void {
    if (this.#closing !== undefined) return;
    this.#closing = this.#inbox.close();
    this.#forget();
    this.#release();
    this.#failAll(closed);
  }
}

function noResponders(subject: string): Error {
  return new JsflowError(
    "no_responders",
    `cannot request ${subject}: nobody listens on the subject; start the service, or check the ` +
      "subject",
  );
}

function lost(subject: string): Error {
  return new NotConnectedError(
    `request ${subject}`,
    "the connection was lost before the answer came; the service may have done the work, so try " +
      "again only if that is harmless",
  );
}

function closed(subject: string): Error {
  return new JsflowError(
    "connection_closed",
    `cannot request ${subject}: the client is closed; open another one`,
  );
}
