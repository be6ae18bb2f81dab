import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findServer } from "../testing/mod.ts";

const file = fileURLToPath(new URL("nats.conf", import.meta.url));
const env = {
  ...process.env,
  NODE_NAME: "nats-1",
  APP_PASSWORD: "a-secret",
  ADMIN_PASSWORD: "b-secret",
  ROUTE_PASSWORD: "c-secret",
  ROUTE_1: "nats-route://route:c-secret@nats-1.example.com:6222",
  ROUTE_2: "nats-route://route:c-secret@nats-2.example.com:6222",
  ROUTE_3: "nats-route://route:c-secret@nats-3.example.com:6222",
};

/** Lets nats-server check a configuration without starting. */
async function check(path: string): Promise<void> {
  const { stderr } = await promisify(execFile)(await findServer(), ["-t", "-c", path], { env });
  assert.match(stderr, /is valid/);
}

test("nats-server takes the example configuration", async () => {
  await check(file);
});

test("it takes the parts for TLS as well", async () => {
  const folder = await mkdtemp(join(tmpdir(), "jsflow-conf-"));
  try {
    const path = join(folder, "nats.conf");
    const uncommented = (await readFile(file, "utf8"))
      .replace(/^( *)# ((tls \{| {2}\w+: .*|\})$)/gm, "$1$2");
    assert.match(uncommented, /^tls \{\n {2}cert_file/m);
    assert.match(uncommented, /^ {2}tls \{\n {4}cert_file/m);
    await writeFile(path, uncommented);
    // The files are not there, which shows that they are asked for.
    await assert.rejects(check(path), /node\.pem|server\.pem/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
