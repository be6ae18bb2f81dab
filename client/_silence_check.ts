import { ensureCaptured, forgetCaptured } from "./_captured_subjects.ts";
import type { Publication } from "./_publication.ts";
import { explainSilence } from "./_publish_outcome.ts";
import { noAnswerError } from "./_publisher_errors.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError } from "./errors.ts";

/**
 * Finds out why nobody answers on a subject, and creates the stream when there is none and it may.
 *
 * @throws why nobody answers, unless there is a stream now: then the message can be sent again.
 */
export async function overcomeSilence(
  core: ClientCore,
  publication: Publication,
  options: {
    readonly autoCreate: true | StreamAutoCreate | undefined;
    readonly error: Error;
  },
): Promise<void> {
  const { name, bounds } = publication;
  const { autoCreate, error } = options;
  const meaning = await explainSilence(core, publication, error);
  if (autoCreate === undefined || !isJsflowError(meaning, "stream_not_found")) throw meaning;
  forgetCaptured(core, name); // it was deleted since, and nothing was stored
  await ensureCaptured(core, name, { ...bounds, autoCreate });
}

/** Overcomes silence on a subject, once for all messages that wait for it. */
export class SilenceCheck {
  readonly #core: ClientCore;
  readonly #autoCreate: true | StreamAutoCreate | undefined;
  readonly #running = new Map<string, Promise<Error | undefined>>();

  constructor(core: ClientCore, autoCreate: true | StreamAutoCreate | undefined) {
    this.#core = core;
    this.#autoCreate = autoCreate;
  }

  /** Why nobody answers; undefined when a stream was created meanwhile. Never rejects. */
  explain(publication: Publication): Promise<Error | undefined> {
    const { name } = publication;
    const running = this.#running.get(name);
    if (running !== undefined) return running;
    // It is for all, so one caller's signal must not end it.
    const shared = { ...publication, bounds: { ...publication.bounds, signal: undefined } };
    const options = { autoCreate: this.#autoCreate, error: noAnswerError(name) };
    const started = overcomeSilence(this.#core, shared, options)
      .then(() => undefined, (error: Error) => error)
      .finally(() => this.#running.delete(name));
    this.#running.set(name, started);
    return started;
  }
}
