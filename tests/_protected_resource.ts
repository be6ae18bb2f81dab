import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import type { UseOfResource } from "./programs/kv_holder.ts";

/** Something that refuses tokens smaller than the largest one that it has seen. */
export interface ProtectedResource {
  readonly url: string;
  /** All it was told, in the order in which it came, with whether it was accepted. */
  readonly log: readonly (UseOfResource & { readonly accepted: boolean })[];
  close(): Promise<void>;
}

/** Starts a resource on 127.0.0.1. */
export async function startResource(): Promise<ProtectedResource> {
  const log: (UseOfResource & { accepted: boolean })[] = [];
  let largest = 0;
  const handle = async (request: IncomingMessage): Promise<string> => {
    const use = await json(request) as UseOfResource;
    const accepted = use.kind !== "use" || use.token >= largest;
    if (use.kind === "use") largest = Math.max(largest, use.token);
    log.push({ ...use, accepted });
    return accepted ? "accepted" : "refused";
  };
  const server = createServer((request, response) => {
    handle(request).then((text) => response.end(text), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    log,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What one holder did under one token. */
export interface Section {
  readonly token: number;
  readonly who: number;
  /** Positions in the log; a section of a process that died has no end. */
  readonly from: number;
  readonly to: number;
  readonly refused: boolean;
  readonly outcome: string | undefined;
}

/** The sections in a log, by the order in which they began. */
export function sectionsOf(log: ProtectedResource["log"]): Section[] {
  const sections: Section[] = [];
  for (const [from, { kind, token, who }] of log.entries()) {
    if (kind !== "enter") continue;
    const own = (use: UseOfResource) => use.token === token && use.who === who;
    const to = log.findIndex((use) => use.kind === "leave" && own(use));
    sections.push({
      token,
      who,
      from,
      to: to === -1 ? log.length : to,
      refused: log.some((use) => own(use) && !use.accepted),
      outcome: log.find((use) => use.kind === "end" && own(use))?.outcome,
    });
  }
  return sections;
}
