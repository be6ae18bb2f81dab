import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { withEnvironment } from "./_environment.ts";
import { findServer, readServerVersion, serverCachePath } from "./find_server.ts";
import { floorServerVersion, newestServerVersion } from "./server_versions.ts";

const onWindows = process.platform === "win32";

/** A folder of its own for programs, and no others to be found. */
interface World {
  readonly folder: string;
  /** What is read, since the process's variables belong to all tests that run in it. */
  readonly variables: Record<string, string>;
}

async function inEmptyWorld(run: (world: World) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "jsflow-find-"));
  const variables: Record<string, string> = {
    XDG_CACHE_HOME: join(folder, "cache"),
    PATH: join(folder, "bin"),
  };
  try {
    await withEnvironment(variables, () => run({ folder, variables }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Writes a program that says to be a nats-server of some version. */
async function writeProgram(path: string, version: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

test("the variable comes first, then the cache, then the PATH", { skip: onWindows }, async () => {
  await inEmptyWorld(async ({ folder, variables }) => {
    const onPath = await writeProgram(join(folder, "bin", "nats-server"), "2.11.1");
    assert.equal(await findServer(), onPath);
    const cachePath = serverCachePath(newestServerVersion) ?? "";
    const inCache = join(folder, "cache/jsflow/nats-server", newestServerVersion, "nats-server");
    assert.equal(cachePath, inCache);
    await writeProgram(cachePath, newestServerVersion);
    assert.equal(await findServer(), cachePath);
    variables["NATS_SERVER"] = await writeProgram(join(folder, "mine"), "2.12.0");
    assert.equal(await findServer(), join(folder, "mine"));
  });
});

test("a version is taken from wherever it is", { skip: onWindows }, async () => {
  await inEmptyWorld(async ({ folder, variables }) => {
    const onPath = await writeProgram(join(folder, "bin", "nats-server"), floorServerVersion);
    variables["NATS_SERVER"] = await writeProgram(join(folder, "mine"), "2.12.0");
    assert.equal(await findServer({ version: "2.12.0" }), join(folder, "mine"));
    assert.equal(await findServer({ version: floorServerVersion }), onPath);
    const cached = serverCachePath(floorServerVersion) ?? "";
    await writeProgram(cached, floorServerVersion);
    assert.equal(await findServer({ version: floorServerVersion }), cached);
  });
});

test("another version in the cache is better than none", { skip: onWindows }, async () => {
  await inEmptyWorld(async () => {
    for (const version of ["2.9.10", "2.10.2"]) {
      await writeProgram(serverCachePath(version) ?? "", version);
    }
    assert.equal(await findServer(), serverCachePath("2.10.2"));
    await assert.rejects(findServer({ version: "2.10.1" }), { name: "ServerNotFoundError" });
  });
});

test("the error names every place and what to do", { skip: onWindows }, async () => {
  await inEmptyWorld(async ({ folder, variables }) => {
    variables["NATS_SERVER"] = await writeProgram(join(folder, "mine"), "2.12.0");
    await assert.rejects(findServer({ version: "0.0.1" }), (error: Error) => {
      assert.match(error.message, /^cannot find nats-server 0\.0\.1; looked at:/);
      assert.match(error.message, /cache\/jsflow\/nats-server\/0\.0\.1\/nats-server: not there/);
      assert.match(error.message, /mine: is version 2\.12\.0/);
      assert.match(error.message, /on the PATH/);
      assert.match(error.message, /deno task setup --all/);
      assert.match(error.message, /go install .*nats-server\/v2@v0\.0\.1/);
      return true;
    });
  });
});

test(
  "a variable that leads nowhere is an error, not passed over",
  { skip: onWindows },
  async () => {
    await inEmptyWorld(async ({ folder, variables }) => {
      await writeProgram(join(folder, "bin", "nats-server"), "2.11.1");
      variables["NATS_SERVER"] = join(folder, "nothing");
      await assert.rejects(findServer(), /NATS_SERVER is ".*nothing", which is no program/);
    });
  },
);

test("versions must look like versions", async () => {
  await assert.rejects(findServer({ version: "../../bin" }), /must look like "2\.15\.2"/);
  await assert.rejects(findServer({ version: "" }), TypeError);
  await assert.rejects(findServer({ versions: "1.2.3" } as never), /does not know/);
  assert.throws(() => serverCachePath("latest"), TypeError);
});

test("a program that is no nats-server has no version", async () => {
  assert.equal(await readServerVersion(process.execPath), undefined);
  assert.equal(await readServerVersion("/no/such/program"), undefined);
});
