/** What nats-server's configuration can hold. */
export type ServerConfigValue =
  | string
  | number
  | boolean
  | readonly ServerConfigValue[]
  | ServerConfig;

/**
 * A nats-server configuration as an object, with nats-server's own key names; properties that are
 * undefined are left out.
 */
export interface ServerConfig {
  /** A setting by its name in nats-server's documentation. */
  readonly [key: string]: ServerConfigValue | undefined;
}

/** The text of a configuration file. */
export function formatConfig(config: ServerConfig): string {
  return entries(config, "config").map((entry) => `${entry}\n`).join("");
}

function entries(config: ServerConfig, path: string): string[] {
  return Object.entries(config).flatMap(([key, value]) =>
    value === undefined ? [] : [`${quote(key)}: ${format(value, `${path}.${key}`)}`]
  );
}

function format(value: unknown, path: string): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number" && Number.isFinite(value) && !String(value).includes("e")) {
    return String(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => format(item, `${path}[${index}]`)).join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    return `{ ${entries(value as ServerConfig, path).join(", ")} }`;
  }
  throw new TypeError(
    `${path} must be a string, number, boolean, array or object, got ${String(value)}`,
  );
}

/** The configuration language knows \xHH, but not JSON's \uHHHH. */
function quote(text: string): string {
  // deno-lint-ignore no-control-regex
  const escaped = text.replace(/["\\\x00-\x1f\x7f]/g, (char) => {
    if (char === '"' || char === "\\") return `\\${char}`;
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
}
