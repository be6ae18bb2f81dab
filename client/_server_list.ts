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
  const isSecret = texts.some((text) => text.includes("@"));
  const parsed = texts.map((text, index) =>
    parseServer(text, isSecret ? `servers[${index}]` : redact(text, index))
  );
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
  if (typeof servers === "string") checkCommas(texts as string[]);
  if (texts.length === 0) throw new TypeError("servers must hold at least one address");
  return texts.map((text) => {
    if (typeof text === "string" && text.trim() !== "") return text.trim();
    const got = typeof text === "string" ? "an empty address" : describe(text);
    throw new TypeError(`servers must be an address or an array of addresses, got ${got}`);
  });
}

/** A comma in a password would make two addresses of it, the first with the password as port. */
function checkCommas(parts: readonly string[]): void {
  const isTorn = parts.some((part, index) =>
    index > 0 && !parts[index - 1]!.includes("@") && part.includes("@") && !part.includes("://")
  );
  if (!isTorn) return;
  throw new TypeError(
    "servers: an address with @ but without nats:// follows one without @; write a comma of a " +
      "password as %2C, or give an array of addresses",
  );
}

/** `shown` is what errors call it. */
function parseServer(text: string, shown: string): ParsedServer {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text);
  const kind = scheme?.[1]?.toLowerCase() ?? "nats";
  if (kind !== "nats" && kind !== "tls") {
    throw new TypeError(
      `${shown} has ${schemeName(kind)}; use nats:// or tls:// ` +
        "(for WebSockets, open the connection yourself and use fromConnection)",
    );
  }
  const rest = text.slice(scheme?.[0].length ?? 0);
  const at = rest.lastIndexOf("@");
  const credentials = at === -1 ? undefined : parseCredentials(rest.slice(0, at), shown);
  return { ...parseHostPort(rest.slice(at + 1), shown), tls: kind === "tls", credentials };
}

function parseHostPort(text: string, shown: string): ServerAddress {
  const bare = text.replace(/\/$/, "");
  const bracketed = !bare.startsWith("[") && bare.split(":").length > 2 ? `[${bare}]` : bare;
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@[\]\\]+)(?::(\d{1,5}))?$/.exec(bracketed);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  const url = match === null ? null : URL.parse(`http://${match[1]}`);
  if (url === null || port < 1 || port > 65_535) {
    throw new TypeError(
      `${shown} is no address; expected host, host:port or nats://host:port, ` +
        "with a port from 1 to 65535",
    );
  }
  const hostname = url.hostname;
  return { host: hostname.replace(/^\[|\]$/g, ""), port, listen: `${hostname}:${port}` };
}

function parseCredentials(text: string, shown: string): UrlCredentials {
  const colon = text.indexOf(":");
  try {
    if (colon === -1) return { token: decodeURIComponent(text) };
    const user = decodeURIComponent(text.slice(0, colon));
    return { user, pass: decodeURIComponent(text.slice(colon + 1)) };
  } catch {
    throw new TypeError(
      `the credentials of ${shown} are not valid percent-encoding`,
    );
  }
}

/** Others are not named: they may be half of a password. */
function schemeName(kind: string): string {
  return /^(?:wss?|https?)$/.test(kind) ? `the scheme ${kind}` : "an unknown scheme";
}

/**
 * An address without @ as it may be shown: what follows a colon may be a password whose host is
 * missing.
 */
function redact(text: string, index: number): string {
  const [, scheme = "", host = "", colon = ""] = /^((?:nats|tls|wss?|https?):\/\/)?([^:]*)(:?)/i
    .exec(text) ?? [];
  if (host === "" || host.length > 128) return `servers[${index}]`;
  return `servers: ${JSON.stringify(`${scheme}${host}${colon && ":…"}`)}`;
}

function unique(addresses: readonly ServerAddress[]): ServerAddress[] {
  return [...new Map(addresses.map((address) => [address.listen, address])).values()];
}
