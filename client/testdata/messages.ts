/** Subjects and endpoints that several tests of messages use. */
import type { ClientCore } from "../core.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { json } from "../json.ts";
import { publish } from "../publish.ts";
import { type BoundSubject, subject } from "../subject.ts";
import { text } from "../text.ts";

export const Numbers: BoundSubject<number> = subject("numbers", json<number>());
export const Shout: Endpoint<string, string> = endpoint("shout", {
  request: text(),
  reply: text(),
});

/** Publishes the numbers from 0 on, and waits until the server has them. */
export async function publishNumbers(core: ClientCore, count: number): Promise<void> {
  for (let value = 0; value < count; value++) await publish(core, Numbers, value);
  await core.connection.flush();
}
