import { type Attributes, SpanKind } from "@opentelemetry/api";
import type { ClientIdentity } from "./client_identity.ts";
import type { OperationDetails, OperationKind } from "./telemetry.ts";

// The attributes of OpenTelemetry's semantic conventions for messaging, in one place because they
// are not declared stable yet. What is about NATS alone is below `messaging.nats`, as they ask.
const SYSTEM = "messaging.system";
const CLIENT_ID = "messaging.client.id";
const OPERATION_NAME = "messaging.operation.name";
const OPERATION_TYPE = "messaging.operation.type";
const DESTINATION_NAME = "messaging.destination.name";
const DESTINATION_TEMPLATE = "messaging.destination.template";
const DESTINATION_TEMPORARY = "messaging.destination.temporary";
const MESSAGE_ID = "messaging.message.id";
const BODY_SIZE = "messaging.message.body.size";
const BATCH_COUNT = "messaging.batch.message_count";
const CONSUMER_GROUP = "messaging.consumer.group.name";
const STREAM = "messaging.nats.stream";
const SERVER_ADDRESS = "server.address";
const SERVER_PORT = "server.port";

/** The class of the error that an operation ended by. */
export const ERROR_TYPE = "error.type";

/** How one kind of operation is reported. */
export interface Convention {
  /** One of the types that the conventions know. */
  readonly type: "send" | "receive" | "process" | "settle";
  readonly spanKind: SpanKind;
}

export const conventions: Readonly<Record<OperationKind, Convention>> = {
  publish: { type: "send", spanKind: SpanKind.PRODUCER },
  request: { type: "send", spanKind: SpanKind.CLIENT },
  receive: { type: "receive", spanKind: SpanKind.CLIENT },
  process: { type: "process", spanKind: SpanKind.CONSUMER },
  serve: { type: "process", spanKind: SpanKind.SERVER },
  settle: { type: "settle", spanKind: SpanKind.CLIENT },
};

/** The name of a span: of low cardinality, so without a destination made up for one use. */
export function spanName(kind: OperationKind, details: OperationDetails): string {
  const { destination, template, temporary } = details;
  const target = template ?? (temporary === true ? undefined : destination);
  return target === undefined ? kind : `${kind} ${target}`;
}

/** What is the same in all that a client reports of one kind of operation. */
export function operationAttributes(kind: OperationKind, identity: ClientIdentity): Attributes {
  return {
    [SYSTEM]: "nats",
    ...operationTypeAttributes(kind),
    ...serverAttributes(identity),
  };
}

/** What is done. */
export function operationTypeAttributes(kind: OperationKind): Attributes {
  return { [OPERATION_NAME]: kind, [OPERATION_TYPE]: conventions[kind].type };
}

function serverAttributes({ serverAddress, serverPort }: ClientIdentity): Attributes {
  const attributes: Attributes = {};
  if (serverAddress !== undefined) attributes[SERVER_ADDRESS] = serverAddress;
  if (serverPort !== undefined) attributes[SERVER_PORT] = serverPort;
  return attributes;
}

/** What is the same in all metrics of a client that have no conventional name. */
export function clientAttributes({ clientName }: ClientIdentity): Attributes {
  return { [SYSTEM]: "nats", [CLIENT_ID]: clientName };
}

/** What a span says about its messages. */
export function detailAttributes(details: Partial<OperationDetails>): Attributes {
  const attributes: Attributes = {};
  const add = (name: string, value: string | number | boolean | undefined) => {
    if (value !== undefined) attributes[name] = value;
  };
  add(DESTINATION_NAME, details.destination);
  add(DESTINATION_TEMPLATE, details.template);
  add(DESTINATION_TEMPORARY, details.temporary);
  add(MESSAGE_ID, details.messageId);
  add(BODY_SIZE, details.bodyBytes);
  add(BATCH_COUNT, details.batchCount);
  add(CONSUMER_GROUP, details.consumerGroup);
  add(STREAM, details.stream);
  return attributes;
}

/**
 * What a metric says about its messages: each set of values is a time series of its own, so that a
 * subject stands for itself only when its pattern has no placeholders.
 */
export function metricAttributes(
  template: string | undefined,
  consumerGroup: string | undefined,
): Attributes {
  const attributes: Attributes = {};
  if (template !== undefined) {
    attributes[DESTINATION_TEMPLATE] = template;
    if (!/[{*>]/.test(template)) attributes[DESTINATION_NAME] = template;
  }
  if (consumerGroup !== undefined) attributes[CONSUMER_GROUP] = consumerGroup;
  return attributes;
}
