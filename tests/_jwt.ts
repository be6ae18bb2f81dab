import { nkeys } from "@nats-io/nats-core";
import { Buffer } from "node:buffer";
import type { ServerConfig } from "../testing/server_config.ts";

/** An operator with one account that can have users, as decentralised authentication wants them. */
export interface Operator {
  /** The server's part. */
  readonly config: ServerConfig;
  /** Makes a new user; `expiresInSeconds` from now. */
  createUser(options?: { expiresInSeconds?: number }): User;
}

/** A user's credentials. */
export interface User {
  readonly jwt: string;
  readonly seed: string;
  /** The content of a creds file. */
  readonly creds: string;
}

interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(input: Uint8Array): Uint8Array;
}

/** Makes an operator with keys of its own; its server needs no resolver but its own memory. */
export function createOperator(): Operator {
  const operator: KeyPair = nkeys.createOperator();
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };
  const accountJwt = (pair: KeyPair) =>
    sign(operator, pair.getPublicKey(), { type: "account", version: 2, limits });
  const systemKey = system.getPublicKey();
  const operatorClaims = { type: "operator", version: 2, system_account: systemKey };
  return {
    config: {
      operator: sign(operator, operator.getPublicKey(), operatorClaims),
      system_account: systemKey,
      resolver: "MEMORY",
      resolver_preload: {
        [account.getPublicKey()]: accountJwt(account),
        [systemKey]: accountJwt(system),
      },
    },
    createUser: (options) => createUser(account, options?.expiresInSeconds),
  };
}

function createUser(account: KeyPair, expiresInSeconds: number | undefined): User {
  const pair = nkeys.createUser();
  const claims = { type: "user", version: 2, subs: -1, data: -1, payload: -1 };
  const exp = expiresInSeconds === undefined ? {} : { exp: nowSeconds() + expiresInSeconds };
  const jwt = sign(account, pair.getPublicKey(), claims, exp);
  const seed = new TextDecoder().decode(pair.getSeed());
  const creds = [
    "-----BEGIN NATS USER JWT-----",
    jwt,
    "------END NATS USER JWT------",
    "",
    "-----BEGIN USER NKEY SEED-----",
    seed,
    "------END USER NKEY SEED------",
    "",
  ].join("\n");
  return { jwt, seed, creds };
}

function sign(issuer: KeyPair, subject: string, nats: object, more: object = {}): string {
  const header = { typ: "JWT", alg: "ed25519-nkey" };
  const claims = {
    jti: globalThis.crypto.randomUUID(),
    iat: nowSeconds(),
    iss: issuer.getPublicKey(),
    name: subject.slice(0, 8),
    sub: subject,
    nats,
    ...more,
  };
  const body = [header, claims].map((part) => base64url(JSON.stringify(part))).join(".");
  return `${body}.${base64url(issuer.sign(new TextEncoder().encode(body)))}`;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}

function base64url(data: string | Uint8Array): string {
  return Buffer.from(data).toString("base64url");
}
