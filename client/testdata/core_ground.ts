/** What tests of a client's core stand on: a client whose server comes and goes. */
import type { ConnectOptions } from "../connect_options.ts";
import type { ClientCore, GuardOptions } from "../core.ts";
import { type Connected, QUICK, untilLost, withConnected } from "./server_ground.ts";

/** Longer than anything here takes. */
export const LONG = { timeoutMs: 20_000 } as const;

/** Work that does not end. */
export const never = (): Promise<never> => new Promise<never>(() => {});

/** A server, and a client that comes back soon; work under way does not delay its end. */
export async function withClientCore(
  options: ConnectOptions,
  use: (connected: Connected) => Promise<void>,
): Promise<void> {
  await withConnected({ client: { ...QUICK, ...options }, closing: { graceMs: 0 } }, use);
}

/** Kills the server, and waits until the client knows. */
export async function lose({ server, client }: Connected): Promise<void> {
  await server.kill();
  await untilLost(client);
}

/** Starts the server again, and waits until the client is back. */
export async function regain({ server, client }: Connected): Promise<void> {
  await server.restart();
  await client.waitForConnection({ timeoutMs: 10_000 });
}

/** Work that fails with this error. */
export function fails(
  core: ClientCore,
  error: unknown,
  options: Partial<GuardOptions> = {},
): Promise<never> {
  return core.guard("try", { ...LONG, ...options }, () => Promise.reject(error));
}

/** The same core, which asks for JetStream under another prefix: a test answers there. */
export function withApiPrefix(core: ClientCore, apiPrefix: string): ClientCore {
  return new Proxy(core, {
    get: (target, key) => {
      if (key === "jetstream") return { apiPrefix };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
