// The types of other libraries that stand in this library's signatures, under one roof. `@ignore`
// keeps the documentation check from walking into their packages.
import type * as protobuf from "@bufbuild/protobuf";
import type * as js from "@nats-io/jetstream";
import type * as nats from "@nats-io/nats-core";

/**
 * A native source of credentials: a creds file, an nkey, a JWT, a token.
 *
 * @ignore
 */
export type Authenticator = nats.Authenticator;

/**
 * The schema of a Protobuf message, as `protoc-gen-es` generates it.
 *
 * @ignore
 */
export type DescMessage = protobuf.DescMessage;

/**
 * The native JetStream client.
 *
 * @ignore
 */
export type JetStreamClient = js.JetStreamClient;

/**
 * The native JetStream manager.
 *
 * @ignore
 */
export type JetStreamManager = js.JetStreamManager;

/**
 * The message that a Protobuf schema describes.
 *
 * @ignore
 */
export type MessageShape<D extends DescMessage> = protobuf.MessageShape<D>;

/**
 * The native NATS connection, of any transport.
 *
 * @ignore
 */
export type NatsConnection = nats.NatsConnection;

/**
 * Options of the native NATS client.
 *
 * @ignore
 */
export type NatsConnectionOptions = nats.ConnectionOptions;

/**
 * A message as the native client hands it over.
 *
 * @ignore
 */
export type NatsMessage = nats.Msg;

/**
 * The headers of a message as the native client has them.
 *
 * @ignore
 */
export type NatsHeaders = nats.MsgHdrs;

/**
 * Native TLS options: certificates, keys and authorities as files or PEM texts.
 *
 * @ignore
 */
export type TlsOptions = nats.TlsOptions & {
  /** Whether a server certificate that does not verify ends the attempt. @default true */
  rejectUnauthorized?: boolean;
};
