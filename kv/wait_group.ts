import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { describe } from "../client/validate.ts";
import type { Bounds } from "./_bucket.ts";
import { changeState } from "./_change_state.ts";
import { checkLimits, checkName, type Seen, type Space, spaceOf } from "./_space.ts";
import {
  addMembers,
  finishMember,
  MAX_MEMBERS,
  readWaitGroup,
  type WaitGroupState,
} from "./_wait_group_state.ts";
import type { Coordination } from "./coordination.ts";

/**
 * A set of members, of which each is done at some time.
 *
 * What a member says counts once, however often it says it: calls may be repeated after any failure.
 */
export interface WaitGroup {
  /** Its name. */
  readonly name: string;
  /**
   * Adds members, each a text of up to 200 characters; those that were added before, done or not,
   * stay as they are.
   *
   * @throws {JsflowError} `buffer_full` beyond 4000 members, those that are done included;
   * `payload_too_large` when their names take more than a megabyte; `timeout` and others when the
   * server can't be asked, after which it may be added.
   * @throws the signal's reason when it aborts.
   */
  add(members: string | Iterable<string>, options?: WaitBounds): Promise<void>;
  /**
   * Says that a member is done, and returns how many are not. It need not have been added: adding
   * it later changes nothing then.
   *
   * @throws as `add` does.
   */
  done(member: string, options?: WaitBounds): Promise<number>;
  /**
   * Waits until all members that were added are done; without a `timeoutMs`, until the signal
   * aborts. Resolves at once for a group without members, so add them before anybody waits.
   *
   * @throws {JsflowError} `timeout`; `connection_closed` when the coordination is closed;
   * `bucket_not_found`.
   * @throws the signal's reason when it aborts.
   */
  wait(options?: WaitBounds): Promise<void>;
  /**
   * Reads which members are not done, in the order in which they were added. On a replicated bucket
   * it may be an older state.
   *
   * @throws {JsflowError} `timeout` and others when the server can't be asked.
   * @throws the signal's reason when it aborts.
   */
  pending(options?: WaitBounds): Promise<readonly string[]>;
  /**
   * Forgets all members, done or not: who waits goes on, and names can be used anew.
   *
   * @throws as `add` does.
   */
  clear(options?: WaitBounds): Promise<void>;
}

/**
 * Returns a wait group; does no I/O.
 *
 * Members have names because a number can't tell a second "done" from the first one's repetition.
 * Nobody notices when a member dies: let someone else finish its work and say that it is done.
 *
 * @throws {TypeError | RangeError} for a name that makes no sense.
 *
 * @example
 * ```ts
 * import { type Coordination, waitGroup } from "@x/jsflow/kv";
 *
 * async function main(coordination: Coordination): Promise<void> {
 *   const group = waitGroup(coordination, "import-2024-06-01");
 *   await group.add(["customers", "orders"]);
 *   // Elsewhere, perhaps twice: await group.done("orders");
 *   await group.wait({ timeoutMs: 600_000 });
 *   await group.clear();
 * }
 * console.log(main);
 * ```
 */
export function waitGroup(coordination: Coordination, name: string): WaitGroup {
  const space = spaceOf(coordination);
  return new OpenWaitGroup(space, name, space.keyOf("wait_group", name));
}

class OpenWaitGroup implements WaitGroup {
  readonly name: string;
  readonly #space: Space;
  readonly #key: string;

  constructor(space: Space, name: string, key: string) {
    this.name = name;
    this.#space = space;
    this.#key = key;
  }

  async add(members: string | Iterable<string>, options?: WaitBounds): Promise<void> {
    const names = checkMembers(members);
    await this.#change((state) => addMembers(state, names), this.#bounds("add", options));
  }

  async done(member: string, options?: WaitBounds): Promise<number> {
    checkName("a member of a wait group", member);
    const bounds = this.#bounds("done", options);
    return (await this.#change((state) => finishMember(state, member), bounds)).pending.length;
  }

  async wait(options?: WaitBounds): Promise<void> {
    const limits = checkLimits("wait", options);
    const what = `wait for group ${JSON.stringify(this.name)}`;
    const isOver = (seen: Seen) => readWaitGroup(this.#key, seen).pending.length === 0;
    await this.#space.waitUntilState(this.#key, isOver, { ...limits, what });
  }

  async pending(options?: WaitBounds): Promise<readonly string[]> {
    const bounds = this.#bounds("pending", options);
    const entry = await this.#space.store.entry(this.#key, bounds);
    const seen = { value: entry?.value, revision: entry?.revision ?? 0 };
    return readWaitGroup(this.#key, seen).pending;
  }

  async clear(options?: WaitBounds): Promise<void> {
    const bounds = this.#bounds("clear", options);
    await changeState(this.#space, { key: this.#key, fn: (_, { remove }) => remove }, bounds);
  }

  /** Returns the state as it is then; `change` returns undefined where nothing is to change. */
  async #change(
    change: (state: WaitGroupState) => WaitGroupState | undefined,
    bounds: Bounds,
  ): Promise<WaitGroupState> {
    const key = this.#key;
    const { value, revision } = await changeState(this.#space, {
      key,
      fn: (value, { keep, revision }) => change(readWaitGroup(key, { value, revision })) ?? keep,
    }, bounds);
    return readWaitGroup(key, { value, revision });
  }

  #bounds(what: string, options: WaitBounds | undefined): Bounds {
    const { signal, timeoutMs } = checkWait(what, options, this.#space.timeoutMs);
    return { signal, timeoutMs };
  }
}

function checkMembers(members: string | Iterable<string>): readonly string[] {
  if (typeof members === "string") return [checkName("a member of a wait group", members)];
  if (typeof members?.[Symbol.iterator] !== "function") {
    throw new TypeError(
      `add: members must be a name or an iterable of names, got ${describe(members)}`,
    );
  }
  const names: string[] = [];
  for (const member of members) {
    names.push(checkName("a member of a wait group", member));
    if (names.length > MAX_MEMBERS) {
      throw new RangeError(`add: members must be ${MAX_MEMBERS} at most, got more`);
    }
  }
  return names;
}
