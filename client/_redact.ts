import type { ConnectSettings } from "./_connect_settings.ts";
import { REDACTED } from "./_shown_native.ts";
import type { EffectiveOptions } from "./effective_options.ts";

/** Returns what may be shown of a client's options; works also after its secrets were forgotten. */
export function redactedOptions(settings: ConnectSettings): EffectiveOptions {
  return deepFreeze({
    servers: settings.servers.addresses.map(({ listen }) => listen),
    name: settings.name,
    timeoutMs: settings.timeoutMs,
    requestTimeoutMs: settings.requestTimeoutMs,
    drainTimeoutMs: settings.drainTimeoutMs,
    pingIntervalMs: settings.pingIntervalMs,
    maxPingsOut: settings.maxPingsOut,
    reconnect: copyOf(settings.reconnect) ?? false,
    breaker: copyOf(settings.breaker) ?? false,
    health: copyOf(settings.health) ?? false,
    offline: copyOf(settings.offline) ?? "fail",
    plaintext: settings.plaintext,
    telemetry: redactTelemetry(settings.telemetry),
    ...redactAuth(settings.auth),
    ...(settings.tls === undefined ? {} : { tls: settings.tls && { ...settings.tls } }),
    nats: { ...settings.nats },
  });
}

function redactAuth(auth: ConnectSettings["auth"]): Partial<EffectiveOptions> {
  const shown = auth.given.map((key) => {
    if (key === "user") return [key, auth.user];
    if (key === "credsFile") return [key, auth.credsFile];
    return [key, REDACTED];
  });
  return Object.fromEntries(shown) as Partial<EffectiveOptions>;
}

function redactTelemetry(telemetry: object): Record<string, boolean | "[given]"> {
  const entries = Object.entries(telemetry).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === "boolean" ? value : "[given]"]),
  );
}

function copyOf<T extends object>(value: T | undefined): T | undefined {
  return value === undefined ? undefined : { ...value };
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === "object" && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}
