import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { bareKindOf, checkPath, kindOf } from "./_secret_source.ts";
import type { ServerAddress } from "./_server_list.ts";
import type { ConnectOptions, ConnectTlsOptions } from "./connect_options.ts";
import { JsflowError } from "./errors.ts";
import type { NatsConnectionOptions } from "./native.ts";
import { checkBoolean, checkOptions, checkString } from "./validate.ts";

/** What else decides about TLS. */
export interface TlsContext {
  readonly addresses: readonly ServerAddress[];
  /** Whether a `tls://` address demands encryption. */
  readonly demandsTls: boolean;
  readonly plaintext: "allow" | "loopback";
  /** The raw option of this name, which is put to use here too. */
  readonly reconnectToServer: PickServer | undefined;
}

/** The native options that decide about TLS. */
export type NativeTls = Pick<
  NatsConnectionOptions,
  "ignoreClusterUpdates" | "reconnectToServer" | "tls"
>;

/** TLS settings as they may be shown: certificates as `"[PEM]"`. */
export type ShownTls = Readonly<Record<string, string | boolean>> | null | undefined;

/** The result of {@link parseTls}. */
export interface ParsedTls {
  readonly native: NativeTls;
  readonly shown: ShownTls;
}

type PickServer = NonNullable<NatsConnectionOptions["reconnectToServer"]>;
type TlsObject = NonNullable<NatsConnectionOptions["tls"]>;

const PEM_KEYS = ["ca", "cert", "key"] as const;
const FILE_KEYS = ["caFile", "certFile", "keyFile"] as const;
const KEYS = [
  ...PEM_KEYS,
  ...FILE_KEYS,
  "handshakeFirst",
  "rejectUnauthorized",
  "serverName",
] as const;

/** Checks the TLS options and what the addresses demand. */
export function parseTls(tls: ConnectOptions["tls"], context: TlsContext): ParsedTls {
  if (tls !== undefined && typeof tls !== "object") {
    throw new TypeError(`connect: tls must be an object or null, got ${bareKindOf(tls)}`);
  }
  const refuses = context.plaintext === "loopback";
  const remote = refuses ? context.addresses.find(({ host }) => !isLoopback(host)) : undefined;
  if (tls === null) checkForbidden(context.demandsTls, remote);
  if (tls !== null && (tls !== undefined || context.demandsTls || remote !== undefined)) {
    const options = parseTlsOptions(tls ?? {});
    return { native: verifyDialled(options, context.reconnectToServer), shown: showTls(tls ?? {}) };
  }
  // What is learned from a loopback server may be elsewhere.
  const native = refuses ? { ignoreClusterUpdates: true } : {};
  return tls === null ? { native: { ...native, tls }, shown: null } : { native, shown: undefined };
}

/**
 * Has the certificate of an IP address verified as that of this address.
 *
 * Left alone, the native client takes it for that of "localhost": it would refuse a certificate
 * for the address, and accept one for "localhost" from anywhere. Host names are not affected.
 */
function verifyDialled(tls: TlsObject, pick: PickServer | undefined): NativeTls {
  // With the handshake first, the host would be dialled instead of the address, and all is well.
  if (tls.handshakeFirst || "host" in tls || "servername" in tls) return { tls };
  let dialled = "";
  Object.defineProperty(tls, "host", { enumerable: true, get: () => dialled });
  const reconnectToServer: PickServer = (servers, info) => {
    const picked = pick?.(servers, info) ?? null;
    const server = picked !== null && "server" in picked ? picked.server : picked;
    dialled = (server ?? servers[0])?.hostname ?? "";
    return picked;
  };
  return { tls, reconnectToServer };
}

function showTls(tls: ConnectTlsOptions): ShownTls {
  const shown = Object.entries(tls).filter(([, value]) => value !== undefined);
  return Object.fromEntries(shown.map(([key, value]) => {
    if (key === "key") return [key, "[redacted]"];
    return [key, key === "ca" || key === "cert" ? "[PEM]" : value as string | boolean];
  }));
}

/** Whether a host is this machine under any circumstances; who resolves `x.localhost` is unknown. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/\.$/, "");
  if (plain === "localhost") return true;
  if (isIP(plain) === 4) return plain.startsWith("127.");
  return plain === "::1" || /^::ffff:7f[0-9a-f]{2}:/.test(plain);
}

/**
 * Reads each file once, so that a failure is said with the file's name.
 *
 * @throws {JsflowError} `authorization`
 */
export function checkTlsFiles(tls: NatsConnectionOptions["tls"]): void {
  for (const key of FILE_KEYS) {
    const path = tls?.[key];
    if (path === undefined) continue;
    const why = problemOf(path);
    if (why === undefined) continue;
    throw new JsflowError("authorization", `cannot set up TLS: tls.${key} ${path} ${why}`);
  }
}

function problemOf(path: string): string | undefined {
  try {
    return isPem(readFileSync(path, "utf8")) ? undefined : "holds no PEM text; check the path";
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    return `cannot be read (${String(code ?? "no permission")}); check path and permissions`;
  }
}

function checkForbidden(demanded: boolean, remote: ServerAddress | undefined): void {
  if (demanded) {
    throw new TypeError("connect: tls is null, but a tls:// server demands encryption");
  }
  if (remote === undefined) return;
  throw new TypeError(
    `connect: tls is null, but plaintext is "loopback" and ${remote.listen} is elsewhere; ` +
      "allow one of them",
  );
}

function parseTlsOptions(tls: ConnectTlsOptions): NonNullable<NatsConnectionOptions["tls"]> {
  const given: ConnectTlsOptions = checkOptions("connect: tls", tls, KEYS);
  const native: Record<string, unknown> = {};
  for (const key of PEM_KEYS) {
    if (given[key] !== undefined) native[key] = checkPem(`connect: tls.${key}`, given[key]);
  }
  // A getter, so that inspecting a connection does not print it.
  const { key } = native;
  if (key !== undefined) Object.defineProperty(native, "key", { get: () => key });
  for (const key of FILE_KEYS) {
    if (given[key] !== undefined) native[key] = checkPath(`connect: tls.${key}`, given[key]);
  }
  for (const key of ["handshakeFirst", "rejectUnauthorized"] as const) {
    if (given[key] !== undefined) native[key] = checkBoolean(`connect: tls.${key}`, given[key]);
  }
  checkPairs(given);
  return given.serverName === undefined ? native : Object.assign(native, nameOf(given));
}

function checkPairs(given: ConnectTlsOptions): void {
  for (const key of PEM_KEYS) {
    if (given[key] === undefined || given[`${key}File`] === undefined) continue;
    throw new TypeError(`connect: give one of tls.${key} and tls.${key}File`);
  }
  if (
    (given.cert ?? given.certFile) === undefined !== ((given.key ?? given.keyFile) === undefined)
  ) {
    throw new TypeError("connect: tls needs a client's certificate and its key, or neither");
  }
}

/** Host names go into the handshake as well; IP addresses must not. */
function nameOf({ serverName, handshakeFirst }: ConnectTlsOptions): Record<string, string> {
  const name = checkString("connect: tls.serverName", serverName);
  if (isIP(name) === 0) return { servername: name };
  if (!handshakeFirst) return { host: name, servername: "" };
  throw new TypeError("connect: tls.serverName must be a name, not an IP, with handshakeFirst");
}

/** Never shows the value: it may be a key. */
function checkPem(name: string, value: unknown): string {
  if (typeof value === "string" && isPem(value)) return value;
  throw new TypeError(
    `${name} must be a PEM text (a path goes to ${name}File), got ${kindOf(value)}`,
  );
}

function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}
