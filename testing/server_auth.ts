import { nkeyAuthenticator, nkeys } from "@nats-io/nats-core";
import { checkOptions, checkString } from "../client/validate.ts";
import type { ServerConfig } from "./server_config.ts";
import type { Authenticator, TlsOptions } from "../client/native.ts";

/** How clients of a test server must authenticate. */
export type ServerAuth =
  | { readonly user: string; readonly pass: string }
  | { readonly token: string }
  /** The seed (`SU…`) of a user nkey; the server learns its public half. */
  | { readonly nkeySeed: string };

/** What a client passes along to be let in; accepted by jsflow's and by the native `connect`. */
export interface ServerCredentials {
  /** The user to authenticate as. */
  readonly user?: string;
  /** The user's password. */
  readonly pass?: string;
  /** A token to authenticate with. */
  readonly token?: string;
  /** An authenticator for nkeys, JWTs or creds files. */
  readonly authenticator?: Authenticator;
  /** TLS settings. */
  readonly tls?: TlsOptions;
}

/** The server's part and the client's part of a way to authenticate. */
export interface AuthParts {
  readonly config: ServerConfig;
  readonly credentials: ServerCredentials;
}

/**
 * Splits a way to authenticate into the server's `authorization` and the client's credentials.
 *
 * @throws {TypeError} when it is none of the known ways
 */
export function splitAuth(auth: ServerAuth): AuthParts {
  const given = { ...auth } as Record<string, unknown>;
  checkOptions("auth", given, ["user", "pass", "token", "nkeySeed"]);
  const keys = Object.keys(given).sort().join();
  if (keys === "pass,user") {
    const user = checkString("auth.user", given["user"]);
    const pass = checkString("auth.pass", given["pass"]);
    return { config: { user, password: pass }, credentials: { user, pass } };
  }
  if (keys === "token") {
    const token = checkString("auth.token", given["token"]);
    return { config: { token }, credentials: { token } };
  }
  if (keys === "nkeySeed") return nkeyParts(checkString("auth.nkeySeed", given["nkeySeed"]));
  throw new TypeError(`auth must be { user, pass }, { token } or { nkeySeed }, got { ${keys} }`);
}

function nkeyParts(text: string): AuthParts {
  const seed = new TextEncoder().encode(text);
  let nkey: string;
  try {
    nkey = nkeys.fromSeed(seed).getPublicKey();
  } catch (cause) {
    throw new TypeError("auth.nkeySeed must be the seed of a user nkey (SU…)", { cause });
  }
  return { config: { users: [{ nkey }] }, credentials: { authenticator: nkeyAuthenticator(seed) } };
}
