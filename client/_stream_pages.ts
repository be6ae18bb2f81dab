import { JetStreamApiError } from "@nats-io/jetstream";
import { withStreamApi } from "./_stream_api.ts";
import type { CallBounds } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { JsflowError } from "./errors.ts";

/** Which streams are asked for. */
export interface PageQuery extends CallBounds {
  readonly subject: string | undefined;
}

interface Page<T> {
  readonly total?: number | undefined;
  readonly streams?: readonly T[] | null | undefined;
  /** Names of streams that did not answer. */
  readonly missing?: readonly string[] | null | undefined;
  readonly error?: ConstructorParameters<typeof JetStreamApiError>[0] | undefined;
}

/**
 * Yields what the server lists, page by page; each page has the deadline for itself.
 *
 * The native lister is not used: after an error it reads as if the list had ended.
 *
 * @throws {JsflowError} `jetstream_unavailable` after a page that lacks streams: those without a
 * leader cannot be described.
 */
export async function* streamPages<T>(
  core: ClientCore,
  list: "LIST" | "NAMES",
  query: PageQuery,
): AsyncGenerator<T> {
  let offset = 0;
  for (;;) {
    const page = await requestPage<T>(core, list, { ...query, offset });
    const items = page.streams ?? [];
    const { missing } = page;
    for (const item of items) {
      if (missing?.includes(nameOf(item))) continue; // all but its configuration is made up
      query.signal?.throwIfAborted();
      yield item;
    }
    if (missing?.length) throw missingError(missing);
    offset += items.length;
    if (items.length === 0 || offset >= (page.total ?? 0)) return;
  }
}

function requestPage<T>(
  core: ClientCore,
  list: "LIST" | "NAMES",
  query: PageQuery & { readonly offset: number },
): Promise<Page<T>> {
  const { subject, offset, timeoutMs } = query;
  return withStreamApi(core, "list streams", query, async () => {
    const reply = await core.connection.request(
      `${core.jetstream.apiPrefix}.STREAM.${list}`,
      JSON.stringify(subject === undefined ? { offset } : { offset, subject }),
      { timeout: timeoutMs },
    );
    const page = reply.json<Page<T>>();
    if (page.error !== undefined) throw new JetStreamApiError(page.error);
    return page;
  });
}

/** The name of an item that the server describes. */
function nameOf(item: unknown): string {
  return (item as { config?: { name?: string } }).config?.name ?? "";
}

const MAX_NAMED = 10;

function missingError(missing: readonly string[]): JsflowError {
  const names = missing.slice(0, MAX_NAMED).join(", ");
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : "";
  return new JsflowError(
    "jetstream_unavailable",
    `cannot list streams: there is no answer from ${names}${more}; try again, and check the servers ` +
      "that hold them",
  );
}
