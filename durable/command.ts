import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { StreamDelivery } from "../client/delivery.ts";
import type { DeliveredCommand } from "./decide.ts";
import {
  type Command,
  CommandSchema,
  type Event,
  type Start,
} from "./gen/jsflow/durable/v1/journal_pb.ts";

/** Format of the commands that this version writes and reads. */
export const COMMAND_VERSION = 1;

/** Encodes a command for the command stream. */
export function encodeCommand(
  target: { readonly workflow: string; readonly id: string; readonly confirm?: string },
  kind: { readonly case: "start"; readonly value: Start } | {
    readonly case: "event";
    readonly value: Event;
  },
): Uint8Array {
  return toBinary(
    CommandSchema,
    create(CommandSchema, { version: COMMAND_VERSION, ...target, kind }),
  );
}

/** Decodes a command; undefined when it is of another version or no command at all. */
export function decodeCommand(bytes: Uint8Array): Command | undefined {
  try {
    const command = fromBinary(CommandSchema, bytes);
    const complete = command.version === COMMAND_VERSION && command.kind.case &&
      command.workflow && command.id;
    return complete ? command : undefined;
  } catch {
    return undefined;
  }
}

/** The part of a command that decides what happens. */
export function toDelivered(
  command: Command,
  { streamSeq: seq, deliveryCount: delivery }: Pick<StreamDelivery, "streamSeq" | "deliveryCount">,
): DeliveredCommand {
  const { kind } = command;
  switch (kind.case) {
    case "start":
      return { kind: "start", party: kind.value.party, seq, delivery };
    case "event":
      return { kind: "event", event: kind.value, seq, delivery };
    default:
      throw new Error("decodeCommand lets no other kind through");
  }
}
