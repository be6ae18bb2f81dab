import { describe } from "./validate.ts";

const DEFAULT_PORT = 4222;

/** One server to connect to. */
export interface ServerAddress {
  /** The host as the network stack takes it: IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** `host:port`, safe to show. */
  readonly listen: string;
}

/** What a list of servers says. */
export interface ServerList {
  readonly addresses: readonly ServerAddress[];
  /** Whether a `tls://` address demands encryption. */
  readonly tls: boolean;
  /** The credentials that the addresses carry. */
  readonly credentials: UrlCredentials | undefined;
}

/** Credentials from a URL: `nats://user:pass@host` or `nats://token@host`. */
export type UrlCredentials =
  | { readonly user: string; readonly pass: string }
  | { readonly token: string };

interface ParsedServer extends ServerAddress {
  readonly tls: boolean;
  readonly credentials: UrlCredentials | undefined;
}

/**
 * Reads addresses from a string, a comma-separated list or an array; no error shows credentials.
 *
 * @throws {TypeError} when one is malformed.
 */
export function parseServers(servers: string | readonly string[]): ServerList {
  const texts = splitServers(servers);
  const parsed = texts.map(parseServer);
  const credentials = parsed.map((server) => server.credentials).filter((c) => c !== undefined);
  if (new Set(credentials.map((c) => JSON.stringify(c))).size > 1) {
    throw new TypeError("servers carry different credentials; give one set for all of them");
  }
  return {
    addresses: unique(parsed.map(({ host, port, listen }) => ({ host, port, listen }))),
    tls: parsed.some((server) => server.tls),
    credentials: credentials[0],
  };
}

function splitServers(servers: unknown): string[] {
  const texts: readonly unknown[] = Array.isArray(servers)
    ? servers
    : typeof servers === "string"
    ? servers.split(",")
    : [undefined];
  if (texts.length === 0) throw new TypeError("servers must hold at least one address");
  return texts.map((text) => {
    if (typeof text === "string" && text.trim() !== "") return text.trim();
    const got = typeof text === "string" ? "an empty address" : describe(text);
    throw new TypeError(`servers must be an address or an array of addresses, got ${got}`);
  });
}

function parseServer(text: string): ParsedServer {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text);
  const kind = scheme?.[1]?.toLowerCase() ?? "nats";
  if (kind !== "nats" && kind !== "tls") {
    throw new TypeError(
      `servers: ${redact(text)} has the scheme ${kind}; use nats:// or tls:// ` +
        "(for WebSockets, open the connection yourself and use fromConnection)",
    );
  }
  const rest = text.slice(scheme?.[0].length ?? 0);
  const at = rest.lastIndexOf("@");
  const credentials = at === -1 ? undefined : parseCredentials(rest.slice(0, at), text);
  return { ...parseHostPort(rest.slice(at + 1), text), tls: kind === "tls", credentials };
}

function parseHostPort(text: string, whole: string): ServerAddress {
  const bare = text.replace(/\/$/, "");
  const bracketed = !bare.startsWith("[") && bare.split(":").length > 2 ? `[${bare}]` : bare;
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@[\]\\]+)(?::(\d{1,5}))?$/.exec(bracketed);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  const url = match === null ? null : URL.parse(`http://${match[1]}`);
  if (url === null || port < 1 || port > 65_535) {
    throw new TypeError(
      `servers: ${redact(whole)} is no address; expected host, host:port or nats://host:port`,
    );
  }
  const hostname = url.hostname;
  return { host: hostname.replace(/^\[|\]$/g, ""), port, listen: `${hostname}:${port}` };
}

function parseCredentials(text: string, whole: string): UrlCredentials {
  const colon = text.indexOf(":");
  try {
    if (colon === -1) return { token: decodeURIComponent(text) };
    const user = decodeURIComponent(text.slice(0, colon));
    return { user, pass: decodeURIComponent(text.slice(colon + 1)) };
  } catch {
    throw new TypeError(
      `servers: the credentials of ${redact(whole)} are not valid percent-encoding`,
    );
  }
}

/** The address as it may be shown: everything up to the last @ may be a secret. */
function redact(text: string): string {
  const at = text.lastIndexOf("@");
  const shown = at === -1 ? text : `…${text.slice(at)}`;
  return JSON.stringify(shown.length > 128 ? `${shown.slice(0, 128)}…` : shown);
}

function unique(addresses: readonly ServerAddress[]): ServerAddress[] {
  return [...new Map(addresses.map((address) => [address.listen, address])).values()];
}
