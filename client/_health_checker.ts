import type { Core } from "./_client_core.ts";
import { flushConnection } from "./_close_connection.ts";
import type { CallBounds } from "./call_options.ts";
import { untilAborted } from "./deadline.ts";
import type { Health, JetStreamHealth } from "./health.ts";

/** What a check found of the server itself. */
interface Findings {
  readonly rttMs: number | undefined;
  readonly jetstream: JetStreamHealth;
}

const UNREACHABLE: Findings = { rttMs: undefined, jetstream: "unreachable" };

/**
 * Checks the health once, and takes no longer than `timeoutMs`.
 *
 * @throws the signal's reason, and nothing else.
 */
export async function checkHealth(core: Core, options: CallBounds): Promise<Health> {
  options.signal?.throwIfAborted();
  const isConnected = core.status === "connected";
  const { rttMs, jetstream } = isConnected ? await ask(core, options) : UNREACHABLE;
  const { status } = core; // as it is now: the connection may be lost meanwhile
  const { state, failures, retryAfterMs, lastFailure } = core.gate.circuit;
  return {
    ok: status === "connected" && rttMs !== undefined && jetstream !== "unreachable",
    status,
    rttMs,
    jetstream,
    serverVersion: isConnected ? core.connection.info?.version : undefined,
    failures,
    reconnects: core.reconnects,
    ...(lastFailure === undefined ? {} : { lastFailure }),
    breaker: { state, failures, retryAfterMs, lastFailure },
  };
}

async function ask(core: Core, options: CallBounds): Promise<Findings> {
  const { signal } = options;
  const startedAt = performance.now();
  const finding = core.findJetStream(options.timeoutMs);
  const answers = await flushConnection(core.connection, options);
  const rttMs = performance.now() - startedAt;
  signal?.throwIfAborted();
  const found = signal === undefined ? await finding : await untilAborted(finding, signal);
  // A user that may not ask gets no answer: that is no fault of JetStream.
  return answers ? { rttMs, jetstream: found === "unknown" ? "ok" : found } : UNREACHABLE;
}

/** Checks again and again, and tells what has changed. */
export class HealthWatch {
  readonly #core: Core;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #unlisten: () => void;
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #checking: Promise<void> | undefined;
  #again = false;
  #known: string | undefined;

  constructor(core: Core, options: { readonly intervalMs: number; readonly timeoutMs: number }) {
    this.#core = core;
    this.#intervalMs = options.intervalMs;
    this.#timeoutMs = options.timeoutMs;
    // A change of the status is seen at once, not at the next interval.
    this.#unlisten = core.hub.listen(({ type }) => type === "status" && this.#check());
    this.#check();
  }

  /** Ends the checks; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#unlisten();
    clearTimeout(this.#timer);
    await this.#checking;
  }

  #check(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#checking !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#checking = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const options = { signal, timeoutMs: this.#timeoutMs };
    const health = await checkHealth(this.#core, options).catch(() => undefined); // stopped
    this.#checking = undefined;
    if (health === undefined || signal.aborted) return;
    this.#tell(health);
    const soon = this.#again;
    this.#again = false;
    if (soon) this.#check();
    else this.#timer = setTimeout(() => this.#check(), this.#intervalMs);
  }

  #tell(health: Health): void {
    const known = JSON.stringify([
      health.ok,
      health.status,
      health.jetstream,
      health.serverVersion,
      health.breaker.state,
    ]);
    if (known === this.#known) return;
    this.#known = known;
    this.#core.emit({ type: "health", health });
  }
}
