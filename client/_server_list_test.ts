import assert from "node:assert/strict";
import { test } from "node:test";
import { parseServers } from "./_server_list.ts";

const listens = (servers: string | readonly string[]) =>
  parseServers(servers).addresses.map(({ listen }) => listen);

test("addresses come as a string, a list or an array", () => {
  assert.deepEqual(listens("127.0.0.1"), ["127.0.0.1:4222"]);
  assert.deepEqual(listens(" a:1 , nats://b:2/ "), ["a:1", "b:2"]);
  assert.deepEqual(listens(["a", "tls://b:5222", "NATS://C:7"]), ["a:4222", "b:5222", "c:7"]);
  assert.deepEqual(listens(["a:1", "nats://a:1"]), ["a:1"]);
  assert.deepEqual(listens("a:80,b:443"), ["a:80", "b:443"]);
});

test("IPv6 works with and without brackets", () => {
  assert.deepEqual(listens(["::1", "[::1]:7", "nats://[::2]"]), [
    "[::1]:4222",
    "[::1]:7",
    "[::2]:4222",
  ]);
  assert.equal(parseServers("[::1]:7").addresses[0]?.host, "::1");
});

test("tls:// demands encryption", () => {
  assert.equal(parseServers("nats://a").tls, false);
  assert.equal(parseServers("a,tls://b").tls, true);
});

test("credentials are read and decoded", () => {
  assert.deepEqual(parseServers("nats://me:p%40ss:word@a").credentials, {
    user: "me",
    pass: "p@ss:word",
  });
  assert.deepEqual(parseServers("nats://t0ken@a").credentials, { token: "t0ken" });
  assert.equal(parseServers("nats://a").credentials, undefined);
  assert.deepEqual(parseServers("nats://u:p@a,nats://u:p@b,c").credentials, {
    user: "u",
    pass: "p",
  });
});

test("no part of a password is shown, or taken for an address", () => {
  const malformed: [string | string[], RegExp][] = [
    ["nats://bob:hunter2", /^servers: "nats:\/\/bob:…" is no address/],
    ["nats://bob:hunter2:9", /^servers: "nats:\/\/bob:…" is no address/],
    [":hunter2", /^servers\[0\] is no address/],
    ["nats://bob:hunter2,x@h", /write a comma of a password as %2C/],
    ["nats://bob:12345,x@h", /write a comma of a password as %2C/],
    ["a,nats://bob:12,hunter2,x@h", /write a comma of a password as %2C/],
    ["nats://bob:hunter2,tls://x@h", /^servers\[0\] is no address/],
    [["a", "bob:hunter2", "x@h"], /^servers\[1\] is no address/],
    ["a@b,hunter2://x@h", /^servers\[1\] has an unknown scheme/],
    ["ws://me:hunter2@h", /^servers\[0\] has the scheme ws; .*fromConnection/],
    ["nats://me:hunter2%zz@h", /^the credentials of servers\[0\] are/],
    ["a,b c", /^servers: "b c" is no address/],
  ];
  for (const [servers, message] of malformed) {
    assert.throws(() => parseServers(servers), (error) => {
      assert.ok(error instanceof TypeError, String(servers));
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hunter2|12345/);
      return true;
    });
  }
  assert.deepEqual(listens(["a:12", "token@b"]), ["a:12", "b:4222"], "not split at commas");
  assert.equal(listens(["nats://me:p,q@b"]).length, 1);
});

test("what is no address is refused, without showing credentials", () => {
  const malformed: unknown[] = [
    "",
    " ",
    "a,,b",
    [],
    [""],
    [5],
    null,
    5,
    "a:0",
    "a:65536",
    "a:b",
    "a b",
    "a:1/path",
    "a:1?x",
    "nats://",
    "nats://u:hunter2@",
    "nats://u:hunter2@a:b",
    "nats://u:hunter2@a b",
    "ws://u:hunter2@a",
    "http://u:hunter2@a",
    "nats://u:hunter2%zz@a",
    "nats://u:hunter2@a,nats://u:hunter3@b",
  ];
  for (const servers of malformed) {
    assert.throws(() => parseServers(servers as string), (error) => {
      assert.ok(error instanceof TypeError, String(servers));
      assert.doesNotMatch(error.message, /hunter/);
      return true;
    });
  }
});
