import { nkeys } from "@nats-io/nats-core";
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { parseAuth } from "./_auth.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { isJsflowError } from "./errors.ts";
import { withLogRecords } from "./testdata/log_records.ts";
import { withFolder } from "./testdata/with_folder.ts";

const seedText = (pair: { getSeed(): Uint8Array }) => new TextDecoder().decode(pair.getSeed());
const user = nkeys.createUser();
const seed = seedText(user);
const creds = credsText("jwt-of-me", seed);

function credsText(jwt: string, seed: string): string {
  return [
    "-----BEGIN NATS USER JWT-----",
    jwt,
    "------END NATS USER JWT------",
    "",
    "************************* IMPORTANT *************************",
    "-----BEGIN USER NKEY SEED-----",
    seed,
    "------END USER NKEY SEED------",
    "",
  ].join("\n");
}

function answer(options: ConnectOptions): Record<string, unknown> {
  return ask(parseAuth(options, undefined).credentials);
}

function ask(credentials: ReturnType<typeof parseAuth>["credentials"]): Record<string, unknown> {
  const authenticate = credentials.native.authenticator as (nonce?: string) => unknown;
  return (authenticate("nonce") ?? {}) as Record<string, unknown>;
}

test("every way gives the server what it wants", () => {
  assert.deepEqual(answer({ user: "me", pass: "p" }), { user: "me", pass: "p" });
  assert.deepEqual(answer({ user: "me", pass: () => "p" }), { user: "me", pass: "p" });
  assert.deepEqual(answer({ user: "me" }), { user: "me", pass: undefined });
  assert.deepEqual(answer({ token: "t" }), { auth_token: "t" });
  assert.deepEqual(answer({ token: () => "t" }), { auth_token: "t" });
  assert.deepEqual(answer({ jwt: "bearer" }), { jwt: "bearer" });
  const nkey = user.getPublicKey();
  for (const nkeySeed of [seed, ` ${seed}\n`, () => seed]) {
    assert.equal(answer({ nkeySeed })["nkey"], nkey);
    const both = answer({ nkeySeed, jwt: () => "j" });
    assert.deepEqual([both["jwt"], both["nkey"]], ["j", nkey]);
  }
  const bytes = new TextEncoder().encode(creds);
  for (const one of [creds, bytes, creds.replaceAll("\n", "\r\n"), () => creds, () => bytes]) {
    const { jwt, nkey: key, sig } = answer({ creds: one });
    assert.deepEqual([jwt, key, typeof sig], ["jwt-of-me", nkey, "string"]);
  }
  const several = [() => ({ user: "a", pass: "b" }), () => ({ auth_token: "t" })];
  assert.deepEqual(answer({ authenticator: several }), { user: "a", pass: "b", auth_token: "t" });
  assert.deepEqual(parseAuth({}, undefined).credentials.native, {});
  assert.deepEqual(ask(parseAuth({}, { token: "u" }).credentials), { auth_token: "u" });
});

test("bytes given as creds are copied", () => {
  const bytes = new TextEncoder().encode(creds);
  const { credentials } = parseAuth({ creds: bytes }, undefined);
  bytes.fill(0);
  assert.equal(ask(credentials)["jwt"], "jwt-of-me");
});

test("two ways, half a way, and what can be known to be wrong: TypeError", () => {
  const account = seedText(nkeys.createAccount());
  const wrong: [unknown, RegExp][] = [
    [{ user: "a", token: "b" }, /give one of/],
    [{ creds, nkeySeed: seed }, /give one of/],
    [{ credsFile: "a", creds }, /give one of/],
    [{ jwt: "a", user: "b" }, /give one of/],
    [{ token: "a", authenticator: () => {} }, /give one of/],
    [{ pass: "a" }, /pass needs user/],
    [{ user: "" }, /user/],
    [{ user: "a", pass: 5 }, /pass must be a string or a function, got number/],
    [{ token: "" }, /token must be a non-empty string or a function, got an empty one/],
    [{ token: 123_456 }, /got number/],
    [{ credsFile: "" }, /credsFile must be the path of a file/],
    [{ credsFile: creds }, /must be the path of a file, got several lines/],
    [{ creds: "no creds" }, /creds must be the content of a creds file/],
    [{ creds: credsText("jwt", "SUINVALID") }, /creds must be the content/],
    [{ nkeySeed: "SUINVALID" }, /nkeySeed must be the seed of a user/],
    [{ nkeySeed: account }, /nkeySeed must be the seed of a user/],
    [{ jwt: 5 }, /jwt/],
    [{ authenticator: "x" }, /authenticator must be a function/],
    [{ authenticator: [] }, /must not be an empty array/],
  ];
  for (const [options, message] of wrong) {
    const parse = () => parseAuth(options as ConnectOptions, undefined);
    assert.throws(parse, { name: "TypeError", message }, inspect(options));
    assert.throws(parse, (error) => !inspect(error, { depth: 9 }).includes(seed.slice(0, 20)));
  }
});

test("a first failure is said by check, without secrets", async () => {
  const missing = join(tmpdir(), "jsflow-no-such-file.creds");
  const failing = () => {
    throw Object.assign(new TypeError("vault: hunter2 is malformed"), { secret: "hunter2" });
  };
  const cases: [ConnectOptions, RegExp][] = [
    [{ credsFile: missing }, /credsFile .*no-such-file\.creds is not usable: .* ENOENT/],
    [{ token: failing }, /token is not usable: it threw TypeError;/],
    [{ token: () => "" }, /token .* must be a non-empty string, got an empty one/],
    [{ user: "me", pass: () => 5 as never }, /pass .* must be a string, got number/],
    [{ token: () => Promise.reject(new Error("x")) as never }, /got a promise/],
    [{ creds: () => "hunter2" }, /creds .* must be the content of a creds file/],
    [{ nkeySeed: () => "hunter2" }, /nkeySeed .* must be the seed/],
  ];
  for (const [options, message] of cases) {
    const { credentials } = parseAuth(options, undefined);
    assert.throws(() => credentials.check(), (error) => {
      assert.ok(isJsflowError(error, "authorization"));
      assert.match(error.message, message);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter2/);
      return true;
    });
    const empty = [{}, { user: "me", pass: undefined }, { auth_token: "" }, { nkey: "", sig: "" }];
    const given = ask(credentials);
    assert.ok(empty.some((one) => inspect(one) === inspect(given)), inspect(given));
  }
  await new Promise((resolve) => setTimeout(resolve)); // an unhandled rejection would show here
});

test("secrets are read anew each time; the last good one outlives failures, with a warning", async () => {
  await withLogRecords((records) =>
    withFolder(async (folder) => {
      const credsFile = join(folder, "me.creds");
      await writeFile(credsFile, creds);
      const { credentials } = parseAuth({ credsFile }, undefined);
      assert.equal(ask(credentials)["jwt"], "jwt-of-me");
      await writeFile(credsFile, credsText("jwt-2", seed));
      assert.equal(ask(credentials)["jwt"], "jwt-2");
      assert.equal(records.length, 0);
      await writeFile(credsFile, "half a fi");
      assert.equal(ask(credentials)["jwt"], "jwt-2", "nothing usable");
      await rm(credsFile);
      assert.equal(ask(credentials)["jwt"], "jwt-2", "gone");
      assert.deepEqual(records.map(({ level }) => level), ["warning", "warning"]);
      assert.match(inspect(records[1]?.properties), /ENOENT/);
      assert.doesNotMatch(inspect(records, { depth: 9 }), /half a fi|jwt-2|SU[A-Z2-7]{50}/);
      await writeFile(credsFile, credsText("jwt-3", seed));
      assert.equal(ask(credentials)["jwt"], "jwt-3");
    })
  );
});

test("an authenticator that throws does not reach the native client", () => {
  const authenticator = () => {
    throw new Error("no key");
  };
  assert.deepEqual(answer({ authenticator }), {});
});

test("credentials show nothing when they are inspected", () => {
  const { credentials } = parseAuth({ user: "me", pass: "hunter2" }, undefined);
  assert.doesNotMatch(inspect(credentials, { depth: 9, showHidden: true }), /hunter2/);
  assert.doesNotMatch(JSON.stringify(credentials), /hunter2/);
});
