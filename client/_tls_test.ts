import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { parseConnectOptions } from "./_connect_settings.ts";
import { checkTlsFiles, isLoopback } from "./_tls.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { isJsflowError } from "./errors.ts";

const ca = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n";
const key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

const native = (options: ConnectOptions) => parseConnectOptions(options).native;

test("an object demands TLS, null forbids it, tls:// demands it, else the server decides", () => {
  assert.ok(native({ tls: {} }).tls);
  assert.equal(native({ tls: null }).tls, null);
  assert.ok(native({ servers: "tls://a" }).tls);
  assert.ok(!("tls" in native({})));
});

test("PEM texts, files and flags reach the native client", () => {
  const { tls } = native({
    tls: { ca, certFile: "c.pem", key, handshakeFirst: true, rejectUnauthorized: false },
  });
  const expected = { ca, certFile: "c.pem", key, handshakeFirst: true, rejectUnauthorized: false };
  assert.deepEqual({ ...tls }, expected);
  const serverName = "nats.example.com";
  assert.deepEqual(native({ tls: { serverName } }).tls, { servername: serverName });
});

test("what makes no sense is refused before any I/O, without showing keys", () => {
  const wrong: [unknown, RegExp][] = [
    [true, /tls must be an object or null/],
    ["hunter2", /tls must be an object or null, got a string/],
    [[], /tls options must be an object/],
    [{ cafile: "a" }, /does not know the option "cafile"/],
    [{ ca: "/etc/ca.pem" }, /tls\.ca must be a PEM text \(a path goes to .*caFile\)/],
    [{ key: "hunter2", cert: ca }, /tls\.key must be a PEM text/],
    [{ keyFile: key, cert: ca }, /tls\.keyFile must be the path of a file/],
    [{ ca, caFile: "a" }, /one of tls\.ca and tls\.caFile/],
    [{ cert: ca }, /a client's certificate and its key, or neither/],
    [{ keyFile: "a" }, /a client's certificate and its key, or neither/],
    [{ handshakeFirst: 1 }, /tls\.handshakeFirst/],
    [{ rejectUnauthorized: "no" }, /tls\.rejectUnauthorized/],
    [{ serverName: "" }, /tls\.serverName/],
    [{ serverName: "10.0.0.1", handshakeFirst: true }, /must be a name, not an IP/],
  ];
  for (const [tls, message] of wrong) {
    assert.throws(() => native({ tls: tls as never }), (error) => {
      assert.ok(error instanceof TypeError, inspect(tls));
      assert.match(error.message, message);
      assert.doesNotMatch(inspect(error), /hunter2/);
      return true;
    });
  }
});

test("plaintext off loopback can be refused", () => {
  const plaintext = "loopback";
  const remote = ["10.0.0.1", "nats.example.com", "127.0.0.1,10.0.0.1", "::2", "0.0.0.0"];
  for (const servers of remote) {
    assert.ok(native({ servers, plaintext }).tls, servers);
    const tls = () => native({ servers, plaintext, tls: null });
    assert.throws(tls, { name: "TypeError", message: /is elsewhere/ }, servers);
  }
  for (const servers of ["127.0.0.1", "localhost", "[::1]", "127.8.8.8", "::ffff:127.0.0.1"]) {
    const { tls, ignoreClusterUpdates } = native({ servers, plaintext });
    assert.equal(tls, undefined, servers);
    assert.equal(ignoreClusterUpdates, true, "learned servers may be elsewhere");
    assert.equal(native({ servers, plaintext, tls: null }).ignoreClusterUpdates, true);
    const secured = native({ servers, plaintext, tls: {} });
    assert.equal(secured.ignoreClusterUpdates, undefined, "learned servers need TLS as well");
  }
  assert.equal(native({ servers: "10.0.0.1" }).tls, undefined, "allowed by default");
});

test("what is loopback", () => {
  for (
    const host of ["127.0.0.1", "127.255.0.1", "::1", "LOCALHOST", "localhost.", "::ffff:7fff:1"]
  ) {
    assert.ok(isLoopback(host), host);
  }
  const elsewhere = ["128.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "::", "a"];
  // The first is 0.127.0.1, and names below localhost are looked up like any other.
  for (const host of [...elsewhere, "::ffff:7f:1", "::ffff:7f0:1", "a.localhost"]) {
    assert.ok(!isLoopback(host), host);
  }
});

test("a certificate is verified for the address that is dialled", () => {
  const reconnectToServer = () => ({ server: { hostname: "10.0.0.2" }, delay: 5 }) as never;
  const pool = [{ hostname: "10.0.0.1" }, { hostname: "10.0.0.2" }] as never;
  const first = native({ tls: {} });
  assert.equal(first.reconnectToServer?.(pool, null), null, "the choice stays the native client's");
  assert.deepEqual({ ...first.tls }, { host: "10.0.0.1" });
  const picked = native({ tls: {}, nats: { reconnectToServer } });
  assert.deepEqual(picked.reconnectToServer?.(pool, null), reconnectToServer());
  assert.deepEqual({ ...picked.tls }, { host: "10.0.0.2" });
  const tls = native({ tls: { handshakeFirst: true } }).tls;
  assert.deepEqual(tls, { handshakeFirst: true }, "there the host would be dialled");
});

test("a file that is missing or no PEM is named", () => {
  const cases: [string, RegExp][] = [
    ["/no/such/file.pem", /tls\.caFile \/no\/such\/file\.pem cannot be read \(ENOENT\)/],
    [fileURLToPath(new URL("../deno.json", import.meta.url)), /deno\.json holds no PEM text/],
  ];
  for (const [caFile, message] of cases) {
    assert.throws(() => checkTlsFiles({ caFile }), (error) => {
      assert.ok(isJsflowError(error, "authorization"));
      assert.match(error.message, message);
      return true;
    });
  }
  checkTlsFiles(undefined);
  checkTlsFiles(null);
  checkTlsFiles({ ca });
});
