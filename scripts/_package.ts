/** What deno.json says about the package, and what follows from it for npm. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The parts of deno.json that the scripts read. */
export interface DenoConfig {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
}

/** The targets of one entry of package.json's `exports`. */
export interface ExportTargets {
  readonly types: string;
  readonly import: string;
  readonly default: string;
}

/** The parts of package.json that the scripts write and check. */
export interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly type: string;
  readonly exports: Readonly<Record<string, ExportTargets>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Reads a folder's deno.json. */
export async function readDenoConfig(folder: string): Promise<DenoConfig> {
  return JSON.parse(await readFile(join(folder, "deno.json"), "utf8"));
}

/** package.json's `exports` for deno.json's. */
export function npmExports(config: DenoConfig): Record<string, ExportTargets> {
  return Object.fromEntries(
    Object.entries(config.exports).map(([name, source]) => {
      const js = source.replace(/\.ts$/, ".js");
      return [name, { types: source.replace(/\.ts$/, ".d.ts"), import: js, default: js }];
    }),
  );
}

/** The package that a bare specifier names: "@a/b/c" is of "@a/b"; undefined for others. */
export function packageOf(specifier: string): string | undefined {
  if (/^(\.|\/|[a-z][a-z+.-]*:)/.test(specifier)) return undefined;
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The version range that the import map gives a package. */
export function versionRange(config: DenoConfig, name: string): string {
  const target = config.imports[name];
  const match = target?.match(/^npm:(@?[^@]+)@([^/]+)$/);
  if (match?.[1] !== name || match[2] === undefined) {
    throw new Error(`deno.json: expected "${name}": "npm:${name}@<range>", found ${target}`);
  }
  return match[2];
}
