/**
 * The metrics of a client. Those named `messaging.…` are OpenTelemetry's conventional ones.
 *
 * | metric | kind | unit | meaning |
 * | --- | --- | --- | --- |
 * | `messaging.client.sent.messages` | counter | `{message}` | messages published and requests sent, failures included |
 * | `messaging.client.consumed.messages` | counter | `{message}` | messages given to a handler, an iterator or in a batch, redeliveries included |
 * | `messaging.client.operation.duration` | histogram | `s` | time of a publish, a request or a fetch |
 * | `messaging.process.duration` | histogram | `s` | time of a handler |
 * | `jsflow.client.handler.errors` | counter | `{error}` | handlers that threw or ran out of time |
 * | `jsflow.client.fetch.errors` | counter | `{error}` | pulls from a consumer that failed |
 * | `jsflow.client.redeliveries` | counter | `{message}` | messages that came for a second or later time |
 * | `jsflow.client.reconnects` | counter | `{reconnect}` | connections regained |
 * | `jsflow.client.in_flight` | gauge | `{message}` | messages that publishers await the acknowledgement of (`publish`), and those whose handlers run (`process`, `serve`) |
 * | `jsflow.client.active_subscriptions` | gauge | `{subscription}` | subscriptions and services that are open |
 * | `jsflow.client.active_consumers` | gauge | `{consumer}` | consumers of streams that are open |
 * | `jsflow.client.known_streams` | gauge | `{stream}` | streams made through the client and not deleted by it |
 * | `jsflow.client.breaker.state` | gauge | `1` | 0 closed, 1 half-open, 2 open |
 *
 * Attributes are of low cardinality: system, operation, template of the subject (its name only
 * when it has no placeholders), consumer group, server and `error.type` on the conventional
 * ones; `messaging.system` and `messaging.client.id` on the others. Messages in flight are told
 * apart by operation, template and consumer group besides.
 */
export const METRIC_NAMES: {
  readonly sentMessages: "messaging.client.sent.messages";
  readonly consumedMessages: "messaging.client.consumed.messages";
  readonly operationDuration: "messaging.client.operation.duration";
  readonly processDuration: "messaging.process.duration";
  readonly handlerErrors: "jsflow.client.handler.errors";
  readonly fetchErrors: "jsflow.client.fetch.errors";
  readonly redeliveries: "jsflow.client.redeliveries";
  readonly reconnects: "jsflow.client.reconnects";
  readonly inFlight: "jsflow.client.in_flight";
  readonly activeSubscriptions: "jsflow.client.active_subscriptions";
  readonly activeConsumers: "jsflow.client.active_consumers";
  readonly knownStreams: "jsflow.client.known_streams";
  readonly breakerState: "jsflow.client.breaker.state";
} = {
  sentMessages: "messaging.client.sent.messages",
  consumedMessages: "messaging.client.consumed.messages",
  operationDuration: "messaging.client.operation.duration",
  processDuration: "messaging.process.duration",
  handlerErrors: "jsflow.client.handler.errors",
  fetchErrors: "jsflow.client.fetch.errors",
  redeliveries: "jsflow.client.redeliveries",
  reconnects: "jsflow.client.reconnects",
  inFlight: "jsflow.client.in_flight",
  activeSubscriptions: "jsflow.client.active_subscriptions",
  activeConsumers: "jsflow.client.active_consumers",
  knownStreams: "jsflow.client.known_streams",
  breakerState: "jsflow.client.breaker.state",
};

/** The values of the metric `jsflow.client.breaker.state`. */
export const BREAKER_STATE_VALUES: {
  readonly closed: 0;
  readonly "half-open": 1;
  readonly open: 2;
} = { closed: 0, "half-open": 1, open: 2 };
