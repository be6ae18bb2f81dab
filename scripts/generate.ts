/**
 * Generates the protobuf code in `durable/gen/` from `durable/proto/`.
 *
 *     deno task generate            writes the files
 *     deno task generate --check    fails when the files are not what the sources say
 *
 * Compiler and plugin are npm packages; no schema registry is asked and no system protoc is needed.
 */
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { denoPath, runOrThrow } from "./_process.ts";
import { listFiles, root } from "./_paths.ts";

/** A folder of .proto files and the folder that receives the code generated from it. */
interface Source {
  readonly protos: string;
  readonly output: string;
}

const sources: readonly Source[] = [{ protos: "durable/proto", output: "durable/gen" }];

/** Code that Node's type stripping runs as it is: no enums, `.ts` in imports. */
const pluginOptions = ["target=ts", "import_extension=ts", "erasable_syntax=true"];

async function main(args: readonly string[]): Promise<number> {
  const check = args.includes("--check");
  let stale = 0;
  for (const source of sources) {
    if (!existsSync(join(root, source.protos))) {
      console.log(`generate: no ${source.protos}, nothing to do`);
      continue;
    }
    const scratch = await mkdtemp(join(tmpdir(), "jsflow-generate-"));
    try {
      const fresh = join(scratch, "gen"); // a subfolder, since the scratch folder itself is private
      await generate(source, fresh);
      if (check) stale += await compare(source, fresh);
      else await replace(source, fresh);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
  return stale > 0 ? 1 : 0;
}

async function generate(source: Source, target: string): Promise<void> {
  const script = (name: string) => fileURLToPath(new URL(name, `file://${root}/node_modules/`));
  const template = {
    version: "v2",
    plugins: [{
      local: [denoPath(), "run", "-A", script("@bufbuild/protoc-gen-es/bin/protoc-gen-es")],
      out: target,
      opt: pluginOptions,
    }],
  };
  const config = { version: "v2", modules: [{ path: source.protos }] };
  const buf = ["run", "-A", script("@bufbuild/buf/bin/buf")];
  const options = { cwd: root, timeoutMs: 120_000 };
  const common = [source.protos, "--config", JSON.stringify(config)];
  await runOrThrow(denoPath(), [...buf, "lint", ...common], options);
  await runOrThrow(
    denoPath(),
    [...buf, "generate", ...common, "--template", JSON.stringify(template)],
    options,
  );
}

async function replace(source: Source, fresh: string): Promise<void> {
  const output = join(root, source.output);
  await rm(output, { recursive: true, force: true });
  await cp(fresh, output, { recursive: true });
  for (const file of await listFiles(output)) console.log(`generate: ${source.output}/${file}`);
}

async function compare(source: Source, fresh: string): Promise<number> {
  const output = join(root, source.output);
  const wanted = await listFiles(fresh);
  const found = existsSync(output) ? await listFiles(output) : [];
  let stale = 0;
  const complain = (file: string, what: string) => {
    stale++;
    console.error(`${source.output}/${file}: ${what}; run "deno task generate"`);
  };
  for (const file of found) if (!wanted.includes(file)) complain(file, "has no .proto source");
  for (const file of wanted) {
    if (!found.includes(file)) complain(file, "is missing");
    else if (await differs(join(fresh, file), join(output, file))) complain(file, "is stale");
  }
  if (stale === 0) console.log(`generate: ${wanted.length} generated files are up to date`);
  return stale;
}

async function differs(a: string, b: string): Promise<boolean> {
  return await readFile(a, "utf8") !== await readFile(b, "utf8");
}

process.exitCode = await main(process.argv.slice(2));
