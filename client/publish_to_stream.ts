import { injectTrace } from "./_outgoing_headers.ts";
import { ensureCaptured, isCaptured } from "./_captured_subjects.ts";
import {
  checkPublication,
  MESSAGE_KEYS,
  type Publication,
  type StreamMessageOptions,
} from "./_publication.ts";
import { findOwnMessage, isAmbiguous, isTransient, uncertain } from "./_publish_outcome.ts";
import { overcomeSilence } from "./_silence_check.ts";
import { autoCreateConfig, type StreamAutoCreate } from "./auto_create.ts";
import { systemClock } from "./clock.ts";
import type { ClientCore } from "./core.ts";
import { isReason } from "./deadline.ts";
import { isJsflowError } from "./errors.ts";
import { type PubAck, readPubAck } from "./pub_ack.ts";
import { retryDelayMs } from "./retry_policy.ts";
import type { BoundSubject } from "./subject.ts";
import { translateError } from "./translate_error.ts";
import { checkOptions } from "./validate.ts";

export type { PublishExpectations, StreamMessageOptions } from "./_publication.ts";

/** How {@link publishToStream} publishes a message. */
export interface PublishToStreamOptions extends StreamMessageOptions {
  /**
   * Creates the stream when none captures the subject: `true` for the defaults of
   * `StreamAutoCreate`.
   * @default no
   */
  readonly autoCreate?: true | StreamAutoCreate | undefined;
}

const KEYS: readonly (keyof PublishToStreamOptions)[] = [...MESSAGE_KEYS, "autoCreate"];

/** A message under way, and what is known about it. */
interface Attempt {
  readonly publication: Publication;
  readonly autoCreate: true | StreamAutoCreate | undefined;
  /** Attempts that failed. */
  failures: number;
  /** Whether it was handed to the connection in the attempt at hand. */
  sent: boolean;
  /** Whether an attempt ended without anybody knowing what became of it. */
  maybeStored: boolean;
}

/** As `StreamMessaging.publishToStream` says. */
export async function publishToStream<T>(
  core: ClientCore,
  subject: BoundSubject<T>,
  value: T,
  options?: PublishToStreamOptions,
): Promise<PubAck> {
  const attempt = checkAttempt(core, { subject, value, options });
  const { name, payload, headers, id, bounds } = attempt.publication;
  bounds.signal?.throwIfAborted();
  const operation = core.telemetry.begin("publish", {
    destination: name,
    template: subject.template,
    messageId: id,
    bodyBytes: payload.length,
  });
  try {
    injectTrace(core, operation, { payload, headers });
    const ack = await publishUntilStored(core, attempt);
    operation.end();
    return ack;
  } catch (error) {
    operation.end(error);
    throw error;
  }
}

function checkAttempt<T>(
  core: ClientCore,
  { subject, value, options }: {
    readonly subject: BoundSubject<T>;
    readonly value: T;
    readonly options: PublishToStreamOptions | undefined;
  },
): Attempt {
  checkOptions("publishToStream", options, KEYS);
  const timeoutMs = core.requestTimeoutMs;
  const source = { subject, value, options, timeoutMs };
  const publication = checkPublication(core, "publishToStream", source);
  const autoCreate = options?.autoCreate;
  if (autoCreate !== undefined && !isCaptured(core, publication.name, autoCreate)) {
    autoCreateConfig("publishToStream: autoCreate", publication.name, autoCreate);
  }
  return { publication, autoCreate, failures: 0, sent: false, maybeStored: false };
}

async function publishUntilStored(core: ClientCore, attempt: Attempt): Promise<PubAck> {
  const { publication } = attempt;
  const { signal } = publication.bounds;
  for (;;) {
    try {
      return await publishOnce(core, attempt);
    } catch (error) {
      if (isReason(error, signal)) throw error;
      if (attempt.sent && isAmbiguous(error)) attempt.maybeStored = true;
      const own = await ownMessage(core, attempt, error);
      if (own !== undefined) return own;
      const delayMs = nextDelayMs(attempt, error);
      if (delayMs === undefined) {
        throw attempt.maybeStored ? uncertain(publication, error as Error) : error;
      }
      await systemClock.sleep(delayMs, signal);
    }
  }
}

function nextDelayMs(attempt: Attempt, error: unknown): number | undefined {
  const { retry } = attempt.publication;
  attempt.failures++;
  if (retry === undefined || !isTransient(error)) return undefined;
  return retryDelayMs(retry, attempt.failures, Math.random);
}

/** After an attempt whose outcome nobody knows, a conflict may be with that attempt. */
async function ownMessage(
  core: ClientCore,
  attempt: Attempt,
  error: unknown,
): Promise<PubAck | undefined> {
  if (!attempt.maybeStored || !isJsflowError(error, "sequence_conflict")) return undefined;
  try {
    return await findOwnMessage(core, attempt.publication);
  } catch (failure) {
    attempt.publication.bounds.signal?.throwIfAborted();
    throw uncertain(attempt.publication, failure as Error);
  }
}

async function publishOnce(core: ClientCore, attempt: Attempt): Promise<PubAck> {
  const { publication, autoCreate } = attempt;
  const { name, bounds } = publication;
  attempt.sent = false;
  if (autoCreate !== undefined && !isCaptured(core, name, autoCreate)) {
    await ensureCaptured(core, name, { ...bounds, autoCreate });
  }
  try {
    return await exchange(core, attempt);
  } catch (error) {
    if (!isJsflowError(error, "no_responders")) throw error;
    await overcomeSilence(core, publication, { autoCreate, error });
    return await exchange(core, attempt);
  }
}

function exchange(core: ClientCore, attempt: Attempt): Promise<PubAck> {
  const { name, payload, headers, bytes, bounds } = attempt.publication;
  const { timeoutMs } = bounds;
  const what = `publish to ${name}`;
  const options = { ...bounds, bytes, jetstream: true, failOnDisconnect: true };
  return core.guard(what, options, async () => {
    attempt.sent = true;
    const request = headers === undefined
      ? { timeout: timeoutMs }
      : { timeout: timeoutMs, headers };
    try {
      return readPubAck(await core.connection.request(name, payload, request), what);
    } catch (error) {
      throw translateError(error, what);
    }
  });
}
