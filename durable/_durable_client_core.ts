import { create, fromBinary } from "@bufbuild/protobuf";
import { untilAborted } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { translateError } from "../client/translate_error.ts";
import { encodeCommand } from "./command.ts";
import type { OpenNamespace } from "./ensure_namespace.ts";
import {
  type Outcome,
  OutcomeSchema,
  PartySchema,
  type Payload,
  StartSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import { Invocation } from "./_invocation.ts";
import type { InvocationHandle } from "./invocation_handle.ts";
import { toPayload } from "./payload.ts";
import { type CallBounds, ServerLink, type ServerLinkOptions } from "./_server_link.ts";
import type { WorkflowRef } from "./workflow.ts";

/** Headers and envelope of a command and of the record that repeats it. */
const COMMAND_MARGIN_BYTES = 8_192;

/** Starts invocations and hands out handles. */
export class DurableClientCore {
  readonly #link: ServerLink;
  readonly #served = new Set<string>();

  constructor(options: ServerLinkOptions) {
    this.#link = new ServerLink(options);
  }

  async start<I, O>(
    workflow: WorkflowRef<I, O>,
    id: string,
    input: I,
    bounds: CallBounds,
  ): Promise<InvocationHandle<O>> {
    const payload = toPayload(workflow.input, input);
    this.#checkSize(workflow, id, payload.data.byteLength);
    return await this.#link.bounded(`start ${workflow.name}/${id}`, bounds, async (signal) => {
      await this.#checkServed(await untilAborted(this.#link.space(), signal), workflow);
      const slot = this.#link.inbox.open();
      try {
        await this.#publishStart(workflow, id, payload, slot.subject, signal);
      } catch (error) {
        slot.close();
        throw error;
      }
      return new Invocation<O>(this.#link, workflow, id, slot.reply.then(decodeOutcome));
    });
  }

  handle<I, O>(workflow: WorkflowRef<I, O>, id: string): InvocationHandle<O> {
    return new Invocation<O>(this.#link, workflow, id, undefined);
  }

  close(): Promise<void> {
    this.#link.inbox.close();
    return Promise.resolve();
  }

  async #publishStart<I, O>(
    workflow: WorkflowRef<I, O>,
    id: string,
    input: Payload,
    inbox: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { names, clock, newId } = this.#link.options;
    const start = create(StartSchema, {
      input,
      party: create(PartySchema, { kind: { case: "inbox", value: inbox } }),
      queue: workflow.queue,
      createdMs: BigInt(clock.now()),
    });
    const command = {
      subject: names.startSubject(workflow, id),
      bytes: encodeCommand({ workflow: workflow.name, id }, { case: "start", value: start }),
      msgID: `start/${newId()}`,
    };
    await this.#link.publish(`start ${workflow.name}/${id}`, command, signal);
  }

  #checkSize<I, O>(workflow: WorkflowRef<I, O>, id: string, bytes: number): void {
    const max = this.#link.options.client.maxPayloadBytes - COMMAND_MARGIN_BYTES;
    if (bytes <= max) return;
    throw new JsflowError(
      "payload_too_large",
      `cannot start ${workflow.name}/${id}: its input has ${bytes} bytes, at most ${max} fit; pass a ` +
        `reference to it, or raise the server's max_payload`,
    );
  }

  /** A reference has no code behind it: somebody must have served its queue at least once. */
  async #checkServed<I, O>(space: OpenNamespace, workflow: WorkflowRef<I, O>): Promise<void> {
    if ("run" in workflow || this.#served.has(workflow.queue)) return;
    const { names, manager } = space;
    try {
      await manager.consumers.info(names.commands, names.laneConsumer(workflow.queue, "start"));
      this.#served.add(workflow.queue);
    } catch (error) {
      const translated = translateError(error, `look up the workers of "${workflow.name}"`);
      if (!isJsflowError(translated, "consumer_not_found")) throw translated;
      throw new JsflowError(
        "unknown_workflow",
        `cannot start "${workflow.name}": no worker of namespace "${names.name}" has ever served ` +
          `queue "${workflow.queue}"; check the name and the namespace, or start a worker first`,
      );
    }
  }
}

function decodeOutcome(bytes: Uint8Array): Outcome {
  return fromBinary(OutcomeSchema, bytes);
}
