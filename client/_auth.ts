import {
  credsAuthenticator,
  jwtAuthenticator,
  nkeyAuthenticator,
  nkeys,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import {
  checkPath,
  checkSecretFunction,
  fileReader,
  kindOf,
  SecretSource,
} from "./_secret_source.ts";
import type { UrlCredentials } from "./_server_list.ts";
import type { ConnectOptions, Secret } from "./connect_options.ts";
import type { Authenticator, NatsConnectionOptions } from "./native.ts";
import { checkString } from "./validate.ts";

/** What may be shown of the way to authenticate. */
export interface AuthSummary {
  /** The options that were given, in the order in which they are shown. */
  readonly given: readonly (keyof ConnectOptions)[];
  readonly user?: string | undefined;
  readonly credsFile?: string | undefined;
}

/** The result of {@link parseAuth}. */
export interface ParsedAuth {
  readonly credentials: Credentials;
  readonly summary: AuthSummary;
}

type AuthResult = ReturnType<Authenticator>;
type Answer = (nonce?: string) => AuthResult;

/** The credentials of a client: the only place that holds them, until they are forgotten. */
export class Credentials {
  #sources: readonly SecretSource<unknown>[];
  #answer: Answer | undefined;
  readonly #native: NatsConnectionOptions;

  constructor(sources: readonly SecretSource<unknown>[], answer: Answer | undefined) {
    this.#sources = sources;
    this.#answer = answer;
    this.#native = answer === undefined ? {} : { authenticator: (nonce) => this.#respond(nonce) };
  }

  /** What the native client needs; holds no secret itself. */
  get native(): NatsConnectionOptions {
    return this.#native;
  }

  /** Reads every secret once. @throws {JsflowError} `authorization` */
  check(): void {
    for (const source of this.#sources) source.read();
  }

  /** Drops them; afterwards the server is told nothing. */
  forget(): void {
    for (const source of this.#sources) source.forget();
    this.#sources = [];
    this.#answer = undefined;
  }

  /** Never throws: that would close the connection for good. */
  #respond(nonce: string | undefined): AuthResult {
    try {
      return this.#answer?.(nonce);
    } catch {
      return undefined; // the server rejects it, and the next attempt asks again
    }
  }
}

type Auth = Pick<
  ConnectOptions,
  "authenticator" | "creds" | "credsFile" | "jwt" | "nkeySeed" | "pass" | "token" | "user"
>;

/** Checks what can be checked without I/O, and that there is at most one way. */
export function parseAuth(given: Auth, fromUrl: UrlCredentials | undefined): ParsedAuth {
  checkOneWay(given, fromUrl);
  const auth: Auth = fromUrl === undefined ? given : fromUrl;
  const options = ["user", "pass", "token", "credsFile", "creds", "jwt", "nkeySeed"] as const;
  const shown = [...options, "authenticator" as const].filter((key) => auth[key] !== undefined);
  const { user, credsFile } = auth;
  return { credentials: credentialsOf(auth), summary: { given: shown, user, credsFile } };
}

function checkOneWay(given: Auth, fromUrl: UrlCredentials | undefined): void {
  const { user, token, credsFile, creds, authenticator } = given;
  const keys = given.jwt ?? given.nkeySeed;
  const ways = [user, token, credsFile, creds, keys, authenticator, fromUrl];
  if (ways.filter((way) => way !== undefined).length > 1) {
    throw new TypeError(
      "connect: give one of user and pass, token, credsFile, creds, jwt and nkeySeed, " +
        "authenticator, or credentials in the servers",
    );
  }
  if (given.pass !== undefined && user === undefined) {
    throw new TypeError("connect: pass needs user as well");
  }
}

function credentialsOf(auth: Auth): Credentials {
  if (auth.authenticator !== undefined) return byAuthenticator(auth.authenticator);
  if (auth.user !== undefined) return byUser(auth.user, auth.pass);
  if (auth.token !== undefined) {
    const token = secretText("token", auth.token);
    return new Credentials([token], () => tokenAuthenticator(token.current() ?? "")());
  }
  if (auth.credsFile !== undefined) {
    const path = checkPath("connect: credsFile", auth.credsFile);
    return byCreds(credsSource(`credsFile ${path}`, fileReader(path)));
  }
  if (auth.creds !== undefined) return byCreds(credsOption(auth.creds));
  if (auth.jwt !== undefined || auth.nkeySeed !== undefined) return byKeys(auth);
  return new Credentials([], undefined);
}

function byAuthenticator(value: NonNullable<Auth["authenticator"]>): Credentials {
  const all: readonly Authenticator[] = Array.isArray(value) ? value : [value as Authenticator];
  if (all.length === 0) throw new TypeError("connect: authenticator must not be an empty array");
  for (const one of all) checkSecretFunction("connect: authenticator", one);
  const copy = [...all];
  return new Credentials(
    [],
    (nonce) => Object.assign({}, ...copy.map((one) => one(nonce) ?? {})) as AuthResult,
  );
}

function byUser(value: string, secret: Secret | undefined): Credentials {
  const user = checkString("connect: user", value);
  if (secret === undefined) {
    return new Credentials([], () => usernamePasswordAuthenticator(user)());
  }
  const pass = secretText("pass", secret, 0);
  return new Credentials([pass], () => usernamePasswordAuthenticator(user, pass.current())());
}

function byCreds(source: SecretSource<Uint8Array>): Credentials {
  return new Credentials([source], (nonce) => {
    const creds = source.current();
    return creds === undefined ? undefined : credsAuthenticator(creds)(nonce);
  });
}

function byKeys({ jwt, nkeySeed }: Auth): Credentials {
  const seed = nkeySeed === undefined ? undefined : seedSource(nkeySeed);
  if (jwt === undefined) {
    return new Credentials(
      seed === undefined ? [] : [seed],
      (nonce) => nkeyAuthenticator(seed?.current())(nonce),
    );
  }
  const token = secretText("jwt", jwt);
  const sources = seed === undefined ? [token] : [token, seed];
  const answer: Answer = (nonce) => {
    const current = token.current() ?? "";
    return seed === undefined ? { jwt: current } : jwtAuthenticator(current, seed.current())(nonce);
  };
  return new Credentials(sources, answer);
}

function secretText(
  name: "jwt" | "pass" | "token",
  secret: Secret,
  minLength = 1,
): SecretSource<string> {
  const parse = (value: unknown) =>
    typeof value === "string" && value.length >= minLength ? value : undefined;
  const expected = minLength > 0 ? "a non-empty string" : "a string";
  return sourceOf(name, secret, { parse, expected });
}

function seedSource(secret: Secret): SecretSource<Uint8Array> {
  return sourceOf("nkeySeed", secret, { parse: parseSeed, expected: "the seed of a user (SU…)" });
}

function credsOption(creds: NonNullable<Auth["creds"]>): SecretSource<Uint8Array> {
  const copy = creds instanceof Uint8Array ? creds.slice() : creds;
  return sourceOf("creds", copy, { parse: parseCreds, expected: CREDS_EXPECTED });
}

function credsSource(name: string, read: () => unknown): SecretSource<Uint8Array> {
  return new SecretSource({ name, read, parse: parseCreds, expected: CREDS_EXPECTED });
}

const CREDS_EXPECTED = "the content of a creds file, a user JWT and its seed";

interface Form<T> {
  readonly parse: (value: unknown) => T | undefined;
  readonly expected: string;
}

/** A secret that is given as it is can be checked now; a function is called later. */
function sourceOf<T>(name: string, secret: unknown, { parse, expected }: Form<T>): SecretSource<T> {
  if (typeof secret === "function") {
    return new SecretSource({ name, read: () => secret() as unknown, parse, expected });
  }
  if (parse(secret) === undefined) {
    const got = kindOf(secret);
    throw new TypeError(`connect: ${name} must be ${expected} or a function, got ${got}`);
  }
  return new SecretSource({ name, read: () => secret, parse, expected });
}

function parseSeed(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string") return undefined;
  const seed = new TextEncoder().encode(value.trim());
  try {
    return nkeys.fromSeed(seed).getPublicKey().startsWith("U") ? seed : undefined;
  } catch {
    return undefined;
  }
}

/** Lines may end as on Windows, which the native parser does not take. */
function parseCreds(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string" && !(value instanceof Uint8Array)) return undefined;
  try {
    const text = typeof value === "string" ? value : new TextDecoder().decode(value);
    const creds = new TextEncoder().encode(text.replaceAll("\r\n", "\n"));
    credsAuthenticator(creds)("probe");
    return creds;
  } catch {
    return undefined;
  }
}
