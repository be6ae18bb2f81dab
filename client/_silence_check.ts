import { ensureCaptured, forgetCaptured } from "./_captured_subjects.ts";
import type { Publication } from "./_publication.ts";
import { explainSilence } from "./_publish_outcome.ts";
import { noAnswerError } from "./_publisher_errors.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError } from "./errors.ts";

/** Finds out why nobody answers on a subject, once for all messages that wait to know. */
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
    const shared = { ...publication, signal: undefined };
    const started = this.#explain(shared).finally(() => this.#running.delete(name));
    this.#running.set(name, started);
    return started;
  }

  async #explain(publication: Publication): Promise<Error | undefined> {
    const { name, timeoutMs, signal } = publication;
    const autoCreate = this.#autoCreate;
    const meaning = await explainSilence(this.#core, publication, noAnswerError(name));
    if (autoCreate === undefined || !isJsflowError(meaning, "stream_not_found")) return meaning;
    try {
      forgetCaptured(this.#core, name);
      await ensureCaptured(this.#core, name, { signal, timeoutMs, autoCreate });
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }
}
