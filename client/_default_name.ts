import { hostname } from "node:os";

/** What is needed of Deno to ask for a permission without a prompt. */
interface DenoPermissions {
  readonly permissions: {
    querySync(descriptor: { name: "sys"; kind: "hostname" }): { readonly state: string };
  };
}

/** Returns `jsflow-<host name>`, or `jsflow` where the runtime would ask for a permission first. */
export function defaultName(): string {
  try {
    const host = mayAskHostname() ? hostname() : "";
    return host === "" ? "jsflow" : `jsflow-${host}`;
  } catch {
    return "jsflow";
  }
}

/** Deno alone guards the host name, and would stop the program to ask for it on a terminal. */
function mayAskHostname(): boolean {
  const deno = Reflect.get(globalThis, "Deno") as Partial<DenoPermissions> | undefined;
  const query = deno?.permissions?.querySync({ name: "sys", kind: "hostname" });
  return query === undefined || query.state === "granted";
}
