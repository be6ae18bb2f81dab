import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "../client/connect.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { type ProgramExit, spawnProgram } from "../testing/spawn_program.ts";

const skip = process.versions["deno"] === undefined &&
  "the examples import the package by its name, which only Deno resolves within the checkout";

function path(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}

async function run(
  file: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<ProgramExit & { readonly stdout: string; readonly stderr: string }> {
  const program = spawnProgram(path(file), args, { env: { ...env, NO_COLOR: undefined } });
  try {
    const exit = await program.exit;
    return { ...exit, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") };
  } finally {
    await program.close();
  }
}

describe("examples", { skip }, () => {
  test("00_hello runs, and is what the README shows", async () => {
    const source = await readFile(path("examples/00_hello.ts"), "utf8");
    const readme = await readFile(path("README.md"), "utf8");
    assert.ok(readme.includes("```ts ignore\n" + source + "```\n"), "README and example differ");
    const server = await NatsServer.start();
    try {
      const { code, stdout } = await run("examples/00_hello.ts", [], { NATS_URL: server.url });
      assert.equal(stdout, "Hello, world!");
      assert.equal(code, 0);
    } finally {
      await server.close();
    }
  });

  test("the demo carries an order through a crash", async () => {
    const { code, stdout, stderr } = await run("examples/demo.ts");
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout.split("\n").at(-1) ?? "", /^OK: .* charged once/);
    assert.ok(!stdout.includes("\x1b"), "no colours outside of a terminal");
  });

  test("the demo takes another order, and refuses what is none", async () => {
    const folder = await mkdtemp(join(tmpdir(), "jsflow-examples-"));
    try {
      const bad = join(folder, "bad.json");
      await writeFile(bad, JSON.stringify({ id: "o", customer: "c", currency: "EUR", items: [] }));
      const refused = await run("examples/demo.ts", [bad]);
      assert.equal(refused.code, 2);
      assert.match(refused.stderr, /order o has no items/);
      const missing = await run("examples/demo.ts", [join(folder, "none.json")]);
      assert.equal(missing.code, 2);
      assert.match(missing.stderr, /cannot read the order/);
      const other = join(folder, "other.json");
      const items = [{ sku: "a b", quantity: 1, unitCents: 5 }];
      await writeFile(other, JSON.stringify({ id: "ö/1", customer: "c", currency: "EUR", items }));
      const accepted = await run("examples/demo.ts", [other]);
      assert.equal(accepted.code, 0, `${accepted.stdout}\n${accepted.stderr}`);
      assert.match(accepted.stdout, /0\.05 EUR/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("02 to 12 do what they say", async () => {
    const server = await NatsServer.start();
    try {
      const env = { NATS_URL: server.url, COUNT: "3", INTERVAL_MS: "1" };
      for (const [name, expected] of printed) {
        const { code, stdout, stderr } = await run(`examples/${name}.ts`, [], env);
        assert.equal(code, 0, `${name}: ${stderr}`);
        for (const text of expected) assert.match(stdout, text, name);
      }
    } finally {
      await server.close();
    }
  });

  test("03 publishes every reading once through a restart of the server", async () => {
    const server = await NatsServer.start();
    const env = { NATS_URL: server.url, COUNT: "40", INTERVAL_MS: "20" };
    const program = spawnProgram(path("examples/03_resilient_publisher.ts"), [], { env });
    try {
      await program.waitForLine(/^10: stored/);
      await server.kill();
      await program.waitForLine(/connected -> reconnecting/);
      await server.restart();
      assert.equal((await program.exit).code, 0, program.stderr.join("\n"));
      const client = await connect({ servers: server.url });
      try {
        assert.equal((await client.streams.info("TELEMETRY")).messages, 40);
      } finally {
        await client.close();
      }
    } finally {
      await program.close();
      await server.close();
    }
  });

  test("04 is configured by the environment, and ends in order on SIGTERM", {
    skip: process.platform === "win32",
  }, async () => {
    const auth = { user: "ann", pass: "swordfish" };
    const server = await NatsServer.start({ auth });
    const env = { NATS_URL: server.url, NATS_USER: "ann", NATS_PASSWORD: "swordfish" };
    const program = spawnProgram(path("examples/04_config_from_env.ts"), [], { env });
    try {
      await program.waitForLine(/^ready/);
      program.kill("SIGTERM");
      assert.deepEqual(await program.exit, { code: 0, signal: null });
      const stdout = program.stdout.join("\n");
      assert.match(stdout, /stopping\nclosed$/);
      assert.ok(!stdout.includes("swordfish"), "the password is shown");
    } finally {
      await program.close();
      await server.close();
    }
  });
});

/** What the programs print that end by themselves. */
const printed: readonly (readonly [string, readonly RegExp[]])[] = [
  ["02_request_reply", [/^4 ACME cost 50$/m, /^refused: .*no such symbol: NONE/m, /^served 1 /m]],
  ["03_resilient_publisher", [/^1: stored in TELEMETRY$/m, /^3: stored/m]],
  ["05_custom_logger", [/"category":"jsflow\.client".*cannot stand/]],
  ["06_dependency_injection", [/^started: connected\ndid the dishes\nstopped: closed$/]],
  ["08_live_config", [/^before: no limit\nput api\nnow: 100$/]],
  ["09_rate_limited_api", [/^200 hello ann, 2 left$/m, /^429 too many requests$/m]],
  ["10_leader_job", [/^ann cleans, round 1, token 1$/m, /^bob leads with token 2$/m]],
  ["11_metrics_board", [/^ {2}orders \{"region":"us"\}: 15$/m, /^ {2}queue_length .*: 7$/m]],
  ["12_feature_flags", [/^now: \{"on":true,"by":"bob"\}\nthen: \{"on":false,"by":"ann"\}$/m]],
  ["07_tracing", [/^handling o-1 in trace [0-9a-f]{32}$/m, /name: "process orders\.\{region\}"/]],
];
