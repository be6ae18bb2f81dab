import { homedir, tmpdir } from "node:os";
import process from "node:process";

/** Variables by their names. */
type Environment = Readonly<Record<string, string | undefined>>;

let environment: Environment = process.env;

/** Lets other variables be read while something runs; those of the process are left alone. */
export async function withEnvironment<R>(other: Environment, run: () => Promise<R>): Promise<R> {
  const before = environment;
  environment = other;
  try {
    return await run();
  } finally {
    environment = before;
  }
}

/** An environment variable, or undefined when it is unset, empty, or must not be read. */
export function environmentVariable(name: string): string | undefined {
  try {
    return environment[name] || undefined;
  } catch {
    return undefined; // Deno without --allow-env
  }
}

/** The user's home folder, or undefined when it can't be known. */
export function homeFolder(): string | undefined {
  const fromEnvironment = environmentVariable("HOME") ?? environmentVariable("USERPROFILE");
  if (fromEnvironment !== undefined) return fromEnvironment;
  try {
    return homedir() || undefined;
  } catch {
    return undefined; // Deno without --allow-sys
  }
}

/** The folder for temporary files. */
export function temporaryFolder(): string {
  try {
    return tmpdir();
  } catch (error) {
    if (process.platform === "win32") throw error;
    return "/tmp"; // Deno without --allow-env
  }
}
