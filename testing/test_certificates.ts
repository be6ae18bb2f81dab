import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";
import { checkOptions, checkString } from "../client/validate.ts";
import { bits, boolean, concat, element, integer, octets, oid } from "./_der.ts";
import { sequence, set, time, utf8 } from "./_der.ts";

/** Certificates and their keys for a test, as PEM texts. */
export interface TestCertificates {
  /** The authority that signed the others. */
  readonly ca: string;
  /** The server's certificate. */
  readonly serverCert: string;
  /** The server's private key. */
  readonly serverKey: string;
  /** A client's certificate, for servers that verify clients. */
  readonly clientCert: string;
  /** The client's private key. */
  readonly clientKey: string;
}

/** What {@link createTestCertificates} makes. */
export interface TestCertificatesOptions {
  /** Host names and IPv4 addresses of the server. @default ["127.0.0.1", "localhost"] */
  readonly hosts?: readonly string[] | undefined;
  /** The client certificate's common name. @default "client" */
  readonly clientName?: string | undefined;
}

/**
 * Makes a certificate authority, a server certificate and a client certificate, valid for a day.
 *
 * Needs no external program and writes nothing. Every call makes new keys (ECDSA P-256), so
 * certificates of two calls do not trust one another. For tests only.
 *
 * @throws {TypeError} when a host is neither a name nor an IPv4 address
 *
 * @example
 * ```ts
 * import { createTestCertificates } from "@x/jsflow/testing";
 *
 * const { ca, serverCert, serverKey } = createTestCertificates({ hosts: ["localhost"] });
 * ```
 */
export function createTestCertificates(options?: TestCertificatesOptions): TestCertificates {
  const { hosts = ["127.0.0.1", "localhost"], clientName = "client" } = checkOptions(
    "createTestCertificates",
    options,
    ["hosts", "clientName"],
  );
  checkString("clientName", clientName);
  const names = hosts.map(generalName);
  const keys = newKeys();
  const authority = { name: "jsflow test authority", key: keys.privateKey };
  const server = newKeys();
  const client = newKeys();
  const subjectAlternatives = extension("2.5.29.17", false, sequence(...names));
  return {
    ca: certificate(authority.name, keys.publicKey, authority, [
      extension("2.5.29.19", true, sequence(boolean(true))), // may sign others
      extension("2.5.29.15", true, bits(Uint8Array.of(0x06), 1)), // certificates and CRLs
    ]),
    serverCert: certificate("server", server.publicKey, authority, [
      subjectAlternatives,
      extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.1"))), // server role
    ]),
    serverKey: pemOfKey(server.privateKey),
    clientCert: certificate(clientName, client.publicKey, authority, [
      extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.2"))), // client role
    ]),
    clientKey: pemOfKey(client.privateKey),
  };
}

interface Authority {
  readonly name: string;
  readonly key: KeyObject;
}

const ECDSA_WITH_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const DAY_MS = 86_400_000;

function newKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function certificate(
  name: string,
  publicKey: KeyObject,
  authority: Authority,
  extensions: readonly Uint8Array[],
): string {
  const now = Date.now();
  const body = sequence(
    element(0xa0, integer(Uint8Array.of(2))), // version 3
    integer(randomBytes(16)),
    ECDSA_WITH_SHA256,
    commonName(authority.name),
    sequence(time(new Date(now - DAY_MS)), time(new Date(now + DAY_MS))),
    commonName(name),
    publicKey.export({ type: "spki", format: "der" }),
    element(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, authority.key);
  return pem("CERTIFICATE", sequence(body, ECDSA_WITH_SHA256, bits(signature)));
}

function commonName(name: string): Uint8Array {
  return sequence(set(sequence(oid("2.5.4.3"), utf8(name))));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function generalName(host: string): Uint8Array {
  checkString("host", host);
  if (isIP(host) === 4) return element(0x87, Uint8Array.from(host.split(".").map(Number)));
  if (!/^[\w.*-]+$/.test(host)) {
    throw new TypeError(
      `hosts must hold host names or IPv4 addresses, got ${JSON.stringify(host)}`,
    );
  }
  return element(0x82, new TextEncoder().encode(host));
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(concat([der])).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function pemOfKey(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}
