import type { Handled } from "./_address.ts";
import type { Batch } from "./batch.ts";
import { consume } from "./consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "./consume_options.ts";
import { type Consumers, consumersOf } from "./consumer_registry.ts";
import type { Consumption } from "./consumption.ts";
import type { ClientCore } from "./core.ts";
import type { BoundEndpoint, Endpoint } from "./endpoint.ts";
import { ensureStream, type EnsureStreamOptions } from "./ensure_stream.ts";
import { fetch } from "./fetch.ts";
import type { FetchOptions } from "./fetch_options.ts";
import type { Messaging } from "./messaging.ts";
import type { PubAck } from "./pub_ack.ts";
import { publish, type PublishOptions } from "./publish.ts";
import { publishToStream, type PublishToStreamOptions } from "./publish_to_stream.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "./publisher.ts";
import type { Reply } from "./reply.ts";
import { request, requestMessage, type RequestOptions } from "./request.ts";
import { requestMany, type RequestManyOptions } from "./request_many.ts";
import { serve, type ServeOptions, type Service, type ServiceHandler } from "./serve.ts";
import type { StreamConfig } from "./stream_config.ts";
import type { StreamInfo } from "./stream_info.ts";
import type { StreamMessaging } from "./stream_messaging.ts";
import { createStreams, type Streams } from "./streams.ts";
import type { BoundSubject, Subject } from "./subject.ts";
import { type MessageHandler, subscribe, type SubscribeOptions } from "./subscribe.ts";
import type { Subscription } from "./subscription.ts";

/** The methods of a client that deal with messages; each is a function in a file of its own. */
export class MessagingMethods implements Messaging, StreamMessaging {
  readonly streams: Streams;
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
    this.streams = createStreams(core);
  }

  get consumers(): Consumers {
    return consumersOf(this.#core);
  }

  publish<T>(subject: BoundSubject<T>, value: T, options?: PublishOptions): Promise<void> {
    return publish(this.#core, subject, value, options);
  }

  subscribe<T, K extends string>(
    subject: Subject<T, K>,
    ...given: Handled<SubscribeOptions<K>, MessageHandler<T, K>>
  ): Promise<Subscription> {
    return subscribe(this.#core, subject, ...given);
  }

  request<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestOptions,
  ): Promise<Res> {
    return request(this.#core, endpoint, value, options);
  }

  requestMessage<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestOptions,
  ): Promise<Reply<Res>> {
    return requestMessage(this.#core, endpoint, value, options);
  }

  requestMany<Req, Res>(
    endpoint: BoundEndpoint<Req, Res>,
    value: Req,
    options?: RequestManyOptions,
  ): AsyncIterable<Reply<Res>> {
    return requestMany(this.#core, endpoint, value, options);
  }

  serve<Req, Res, K extends string>(
    endpoint: Endpoint<Req, Res, K>,
    ...given: Handled<ServeOptions<K>, ServiceHandler<Req, Res, K>>
  ): Promise<Service> {
    return serve(this.#core, endpoint, ...given);
  }

  ensureStream(config: StreamConfig, options?: EnsureStreamOptions): Promise<StreamInfo> {
    return ensureStream(this.#core, config, options);
  }

  publishToStream<T>(
    subject: BoundSubject<T>,
    value: T,
    options?: PublishToStreamOptions,
  ): Promise<PubAck> {
    return publishToStream(this.#core, subject, value, options);
  }

  createPublisher(options?: PublisherOptions): Publisher {
    return createPublisher(this.#core, options);
  }

  consume<T, K extends string>(
    subject: Subject<T, K>,
    ...given: Handled<ConsumeOptions<T, K>, ConsumeHandler<T, K>>
  ): Promise<Consumption> {
    return consume(this.#core, subject, ...given);
  }

  fetch<T, K extends string>(
    subject: Subject<T, K>,
    options: FetchOptions<T, K>,
  ): Promise<Batch<T, K>> {
    return fetch(this.#core, subject, options);
  }
}
