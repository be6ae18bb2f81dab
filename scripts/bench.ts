/**
 * Runs the benchmarks: every `*_bench.ts`, each a program of its own, one after the other.
 *
 *     deno task bench [word …] [--runtime deno|node22|node|bun]
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { listFiles, root } from "./_paths.ts";
import { run } from "./_process.ts";
import { bold, seconds } from "./_report.ts";
import { ensureRuntime, runtimeNames } from "./_runtimes.ts";
import { ensureTestServer } from "./_servers.ts";

async function main(): Promise<number> {
  const { values, positionals: words } = parseArgs({
    allowPositionals: true,
    options: { runtime: { type: "string", default: "deno" } },
  });
  const name = runtimeNames.find((known) => known === values.runtime);
  if (name === undefined) throw new TypeError(`--runtime: expected ${runtimeNames.join(", ")}`);
  const files = (await listFiles(root)).filter((file) => file.endsWith("_bench.ts"))
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
  const [runtime, server] = [await ensureRuntime(name), await ensureTestServer("newest")];
  const flags = name === "deno" ? ["run", "-A"] : [];
  let failed = 0;
  for (const file of files) {
    console.log(bold(`\n${file} (${name} ${runtime.version}, nats-server ${server.version})`));
    const env = { NATS_SERVER: server.path };
    const done = await run(runtime.path, [...flags, file], { cwd: root, env, echo: true });
    console.log(`exit code ${done.code}, ${seconds(done.ms)}`);
    if (done.code !== 0) failed++;
  }
  console.log(`\n${files.length - failed} passed, ${failed} failed`);
  return failed > 0 || files.length === 0 ? 1 : 0;
}

process.exitCode = await main();
