import type { Msg } from "@nats-io/nats-core";
import { AnswerInbox } from "./_answer_inbox.ts";
import { ensureCaptured, isCaptured } from "./_captured_subjects.ts";
import { findOwnMessage, isAmbiguous, isTransient, uncertain } from "./_publish_outcome.ts";
import { closedError, noAnswerError, noRoomError, tooManyError } from "./_publisher_errors.ts";
import type { Publication } from "./_publication.ts";
import type { Entry, PublisherStats } from "./_publisher_entry.ts";
import { SilenceCheck } from "./_silence_check.ts";
import { WaitingLine } from "./_waiting_line.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import { NotConnectedError } from "./connection_errors.ts";
import type { ClientCore } from "./core.ts";
import { timeoutError } from "./deadline.ts";
import { isJsflowError } from "./errors.ts";
import { type PubAck, readPubAck } from "./pub_ack.ts";
import { retryDelayMs } from "./retry_policy.ts";
import { translateError } from "./translate_error.ts";

/** The bounds of a publisher. */
export interface EngineOptions {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly maxWaitingBytes: number;
  readonly autoCreate: true | StreamAutoCreate | undefined;
}

/** Milliseconds between looks at deadlines. */
const TICK_MS = 25;
/** A process that stood still for so long reads what came in meanwhile before it judges. */
const STANDSTILL_MS = 1_000;
const NO_RESPONDERS = 503;
/**
 * Sends messages in the order in which they come, so many at a time, and settles each by its ack.
 *
 * A message holds its place in the window from its first sending until it is settled.
 */
export class PublisherEngine {
  readonly #core: ClientCore;
  readonly #options: EngineOptions;
  /** All that are not settled, in the order of the calls. */
  readonly #entries = new Set<Entry>();
  readonly #sent = new Map<string, Entry>();
  readonly #line: WaitingLine;
  readonly #background = new Set<Promise<void>>();
  readonly #silence: SilenceCheck;
  #inbox: AnswerInbox | undefined;
  #isLinked = true;
  /** Whether the first in line is being prepared, or the line moves up. */
  #isPumping = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lastTick = 0;
  #inFlight = 0;
  #bytesInFlight = 0;
  #published = 0;
  #failed = 0;

  constructor(core: ClientCore, options: EngineOptions) {
    this.#core = core;
    this.#options = options;
    this.#line = new WaitingLine(options.maxWaitingBytes);
    this.#silence = new SilenceCheck(core, options.autoCreate);
  }

  get stats(): PublisherStats {
    return {
      inFlight: this.#inFlight,
      bytesInFlight: this.#bytesInFlight,
      waiting: this.#line.size,
      published: this.#published,
      failed: this.#failed,
    };
  }

  /** The messages that are not settled. */
  get open(): ReadonlySet<Entry> {
    return this.#entries;
  }

  /** Takes a message: sends it at once when there is room, and else in its turn. */
  accept(entry: Entry): void {
    this.#entries.add(entry);
    this.#startTimer();
    this.#watchSignal(entry);
    if (this.#line.size === 0 && !this.#isPumping && this.#mayGo(entry)) {
      this.#admit(entry);
      this.#transmit(entry);
    } else this.#enqueue(entry);
  }

  /** Gives up everything that is not settled, and returns how many that were. */
  abandon(makeError: (name: string) => Error): number {
    const entries = [...this.#entries];
    for (const entry of entries) {
      if (entry.state === "sent") entry.maybeStored = true;
      this.#settle(entry, { error: final(entry, makeError(entry.publication.name)) });
    }
    return entries.length;
  }

  /** Ends what is in the background; nothing may be open any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#inbox?.close();
    await Promise.all(this.#background);
  }

  #watchSignal(entry: Entry): void {
    const { signal } = entry.publication.bounds;
    if (signal === undefined) return;
    const abort = () => this.#settle(entry, { error: signal.reason });
    signal.addEventListener("abort", abort, { once: true });
    entry.release = () => signal.removeEventListener("abort", abort);
  }

  #enqueue(entry: Entry): void {
    if (this.#line.push(entry)) return this.#pump();
    this.#settle(entry, { error: tooManyError(entry.publication.name, this.#line.size) });
  }

  /** Whether a message can be sent this very moment. */
  #mayGo({ publication }: Entry): boolean {
    if (!this.#hasRoom(publication.bytes)) return false;
    return this.#isCaptured(publication.name) && this.#canSend(publication);
  }

  #hasRoom(bytes: number): boolean {
    const { maxMessages, maxBytes } = this.#options;
    return this.#inFlight < maxMessages && this.#bytesInFlight + bytes <= maxBytes;
  }

  #isCaptured(name: string): boolean {
    const { autoCreate } = this.#options;
    return autoCreate === undefined || isCaptured(this.#core, name, autoCreate);
  }

  #canSend({ bounds }: Publication): boolean {
    if (!this.#isLinked) return false;
    try {
      this.#core.check("publish", bounds);
      return true;
    } catch {
      return false; // `ready` says why, or waits
    }
  }

  #admit(entry: Entry): void {
    entry.state = "admitted";
    entry.admitted = true;
    this.#inFlight++;
    this.#bytesInFlight += entry.publication.bytes;
  }

  #transmit(entry: Entry): void {
    const { name, payload, headers, bounds } = entry.publication;
    try {
      this.#inbox ??= this.#openInbox();
      entry.token = this.#inbox.send(name, payload, headers);
    } catch (error) {
      return this.#fail(entry, translateError(error, `publish to ${name}`));
    }
    entry.state = "sent";
    entry.deadline = performance.now() + bounds.timeoutMs;
    this.#sent.set(entry.token, entry);
  }

  #openInbox(): AnswerInbox {
    return new AnswerInbox(this.#core.connection, {
      onAnswer: (token, answer) => this.#answered(token, answer),
      onLost: () => this.#lost(),
      onBack: () => this.#back(),
      onRefused: (subject, error) => this.#refused(subject, error),
      onClosed: () => this.abandon(closedError),
    });
  }

  /** Sends what waits, in order, as far as there is room. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let head = this.#line.head(); head !== undefined; head = this.#line.head()) {
      if (!this.#hasRoom(head.publication.bytes)) break;
      // The line stands until it is done, and then this is called again.
      if (!this.#mayGo(head)) return this.#track(this.#prepare(head));
      this.#line.take(head);
      this.#admit(head);
      this.#transmit(head);
    }
    this.#isPumping = false;
  }

  /** Waits for the connection, and for the stream of the first in line. */
  async #prepare(head: Entry): Promise<void> {
    const { autoCreate } = this.#options;
    const { name, bytes } = head.publication;
    const timeoutMs = Math.max(1, head.deadline - performance.now());
    const bounds = { ...head.publication.bounds, timeoutMs };
    try {
      await this.#core.ready(`publish to ${name}`, { ...bounds, bytes });
      if (autoCreate !== undefined && !isCaptured(this.#core, name, autoCreate)) {
        await ensureCaptured(this.#core, name, { ...bounds, autoCreate });
      }
      this.#isPumping = false;
      if (this.#isLinked) this.#pump(); // else the news that it is back moves the line
    } catch (error) {
      if (head.state === "waiting") {
        this.#line.take(head);
        this.#admit(head);
        this.#fail(head, error as Error);
      }
      this.#isPumping = false;
      this.#pump();
    }
  }

  #answered(token: string, answer: Msg): void {
    const entry = this.#sent.get(token);
    if (entry === undefined) return; // given up
    this.#sent.delete(token);
    if (answer.data.length === 0 && answer.headers?.code === NO_RESPONDERS) {
      return this.#lookInto(entry);
    }
    try {
      this.#settle(entry, { ack: readPubAck(answer, `publish to ${entry.publication.name}`) });
    } catch (error) {
      const mayBeOwn = entry.maybeStored && isJsflowError(error, "sequence_conflict");
      if (mayBeOwn) this.#lookForOwn(entry, error);
      else this.#fail(entry, error as Error);
    }
  }

  /** Nobody answers: finds out why, once for all messages of the subject. */
  #lookInto(entry: Entry): void {
    entry.state = "checking";
    const { name } = entry.publication;
    this.#track(
      this.#silence.explain(entry.publication).then((meaning) => {
        if (entry.state !== "checking") return;
        if (meaning !== undefined || entry.recreated) {
          return this.#fail(entry, meaning ?? noAnswerError(name));
        }
        entry.recreated = true;
        this.#transmit(entry); // nothing was stored, and now there is a stream
      }),
    );
  }

  /** A conflict after an attempt whose outcome nobody knows may be with that very attempt. */
  #lookForOwn(entry: Entry, conflict: unknown): void {
    entry.state = "checking";
    const bounds = { ...entry.publication.bounds, signal: undefined };
    const publication = { ...entry.publication, bounds };
    this.#track(
      findOwnMessage(this.#core, publication).then((ack) => {
        if (entry.state !== "checking") return;
        if (ack === undefined) this.#fail(entry, conflict as Error);
        else this.#settle(entry, { ack });
      }, (error) => {
        if (entry.state === "checking") this.#fail(entry, error);
      }),
    );
  }

  /** An attempt has failed: the message rests, or that was it. */
  #fail(entry: Entry, error: Error): void {
    if (entry.state === "settled") return;
    if (entry.state === "sent" && isAmbiguous(error)) entry.maybeStored = true;
    this.#sent.delete(entry.token);
    entry.failures++;
    const { retry, bounds } = entry.publication;
    const delayMs = retry !== undefined && isTransient(error)
      ? retryDelayMs(retry, entry.failures, Math.random)
      : undefined;
    if (delayMs === undefined) return this.#settle(entry, { error: final(entry, error) });
    entry.state = "resting";
    entry.resendAt = performance.now() + delayMs;
    entry.deadline = entry.resendAt + bounds.timeoutMs;
  }

  #settle(entry: Entry, outcome: { readonly ack: PubAck } | { readonly error: unknown }): void {
    if (entry.state === "settled") return;
    if (entry.state === "waiting") this.#line.leave(entry);
    this.#sent.delete(entry.token);
    this.#entries.delete(entry);
    entry.state = "settled";
    entry.release?.();
    if (entry.admitted) {
      this.#inFlight--;
      this.#bytesInFlight -= entry.publication.bytes;
    }
    if ("ack" in outcome) {
      this.#published++;
      entry.operation.end();
      entry.resolve(outcome.ack);
    } else {
      this.#failed++;
      entry.operation.end(outcome.error);
      entry.reject(outcome.error);
    }
    for (const flush of entry.flushes ?? []) if (--flush.left === 0) flush.resolve();
    if (this.#line.size > 0) this.#pump();
  }

  #lost(): void {
    this.#isLinked = false;
    for (const entry of this.#entries) {
      // One that is looked into was refused when the server went down: that look will not end soon.
      const isCut = entry.state === "checking" && entry.publication.retry !== undefined;
      if (entry.state !== "sent" && !isCut) continue;
      const what = `publish to ${entry.publication.name}`;
      this.#fail(entry, new NotConnectedError(what, "the connection was lost before the ack came"));
    }
  }

  #back(): void {
    this.#isLinked = true;
    this.#resend(performance.now());
    this.#pump();
  }

  #refused(subject: string | undefined, error: Error): void {
    for (const entry of [...this.#sent.values()]) {
      const { name } = entry.publication;
      if (subject !== undefined && subject !== name) continue;
      // Without a subject it is the inbox that was refused: the message went out all the same.
      if (subject === undefined) entry.maybeStored = true;
      this.#fail(entry, translateError(error, `publish to ${name}`));
    }
  }

  /** Sends the messages again that have rested enough, in their order. */
  #resend(now: number): void {
    // Asked once for either kind of message: a no costs an error.
    const canSend = new Map<boolean, boolean>();
    for (const entry of this.#entries) {
      if (entry.state !== "resting" || now < entry.resendAt) continue;
      const bypasses = entry.publication.bounds.bypassBreaker === true;
      if (!canSend.has(bypasses)) canSend.set(bypasses, this.#canSend(entry.publication));
      if (canSend.get(bypasses)) this.#transmit(entry);
    }
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    this.#lastTick = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const now = performance.now();
    const stoodStill = now - this.#lastTick > STANDSTILL_MS;
    this.#lastTick = now;
    if (stoodStill) return; // acks may have come in meanwhile, and are read first
    if (this.#entries.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#resend(now);
    for (const entry of this.#entries) if (now > entry.deadline) this.#expire(entry);
  }

  #expire(entry: Entry): void {
    const { name, bounds: { timeoutMs } } = entry.publication;
    const what = `publish to ${name}`;
    if (entry.state === "sent") this.#fail(entry, timeoutError(what, timeoutMs));
    else if (entry.state === "resting") {
      this.#fail(entry, new NotConnectedError(what, `there was none for ${timeoutMs} ms`));
    } else if (entry.state === "waiting") {
      this.#settle(entry, { error: noRoomError(name, timeoutMs) });
    }
  }

  /** Keeps a promise of the background, which never rejects, so that closing waits for it. */
  #track(promise: Promise<void>): void {
    const tracked = promise.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }
}

/** What a message ends with: the error, or more than that when it may have been stored. */
function final(entry: Entry, error: Error): Error {
  return entry.maybeStored ? uncertain(entry.publication, error) : error;
}
