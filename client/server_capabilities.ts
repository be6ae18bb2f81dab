import { JsflowError } from "./errors.ts";

/** A version as three numbers. */
type Version = readonly [major: number, minor: number, patch: number];

/** The oldest nats-server that jsflow works with. */
const FLOOR: Version = [2, 9, 0];

const MINIMUM_VERSIONS = {
  atomic_batch: [2, 12, 1],
  compression: [2, 10, 0],
  consumer_filters: [2, 10, 0],
  consumer_pause: [2, 11, 0],
  consumer_reset: [2, 14, 0],
  counters: [2, 12, 0],
  cron_schedules: [2, 14, 0],
  direct_batch_get: [2, 11, 0],
  fast_ingest: [2, 14, 0],
  message_ttl: [2, 11, 0],
  metadata: [2, 10, 0],
  priority_groups: [2, 11, 0],
  replicated_cas: [2, 11, 0],
  schedules: [2, 12, 0],
  subject_transforms: [2, 10, 0],
  term_reason: [2, 10, 0],
} as const satisfies Record<string, Version>;

/**
 * A feature that some supported servers lack, with the first version that has it:
 *
 * - 2.10: `compression`, `consumer_filters` (several filter subjects), `metadata`,
 *   `subject_transforms`, `term_reason`
 * - 2.11: `consumer_pause`, `direct_batch_get`, `message_ttl`, `priority_groups`, `replicated_cas`
 *   (compare-and-set that fences writers on replicated streams)
 * - 2.12: `counters`, `schedules`, and from 2.12.1 `atomic_batch`
 * - 2.14: `consumer_reset`, `cron_schedules`, `fast_ingest`
 */
export type ServerFeature =
  | "atomic_batch"
  | "compression"
  | "consumer_filters"
  | "consumer_pause"
  | "consumer_reset"
  | "counters"
  | "cron_schedules"
  | "direct_batch_get"
  | "fast_ingest"
  | "message_ttl"
  | "metadata"
  | "priority_groups"
  | "replicated_cas"
  | "schedules"
  | "subject_transforms"
  | "term_reason";

/**
 * What the connected server can do, judged by its version.
 *
 * A server ignores without a word what it does not know, so ask here before relying on a feature.
 */
export interface ServerCapabilities {
  /** The server's version as it reports it, such as `2.12.1`. */
  readonly version: string;
  /**
   * Tells whether the server's version has the feature.
   *
   * @throws {TypeError} when the feature is unknown.
   */
  supports(feature: ServerFeature): boolean;
  /**
   * Returns if the server's version has the feature.
   *
   * @throws {JsflowError} `unsupported` when it does not.
   * @throws {TypeError} when the feature is unknown.
   */
  require(feature: ServerFeature): void;
}

/**
 * Judges a server by the version that it reports; pre-releases count as the release.
 *
 * @throws {JsflowError} `server_too_old` below 2.9, or when the text is no version.
 *
 * @example
 * ```ts
 * import { serverCapabilities } from "@x/jsflow/client";
 *
 * console.log(serverCapabilities("2.10.4").supports("message_ttl")); // false
 * ```
 */
export function serverCapabilities(version: string): ServerCapabilities {
  const parsed = parseVersion(version);
  if (parsed === undefined || compare(parsed, FLOOR) < 0) {
    throw new JsflowError(
      "server_too_old",
      `cannot use the server: it reports version ${JSON.stringify(version)}, and nats-server ` +
        `${FLOOR[0]}.${FLOOR[1]} or newer is needed; upgrade it`,
    );
  }
  const supports = (feature: ServerFeature) => compare(parsed, minimumOf(feature)) >= 0;
  return { version, supports, require: (feature) => requireFeature(feature, version, supports) };
}

function requireFeature(
  feature: ServerFeature,
  version: string,
  supports: (feature: ServerFeature) => boolean,
): void {
  if (supports(feature)) return;
  throw new JsflowError(
    "unsupported",
    `cannot use ${feature}: it needs nats-server ${minimumOf(feature).join(".")} or newer, ` +
      `and the server is ${version}; upgrade the server or do without`,
  );
}

function minimumOf(feature: ServerFeature): Version {
  if (!Object.hasOwn(MINIMUM_VERSIONS, feature)) {
    throw new TypeError(
      `${JSON.stringify(feature)} is no known server feature; known are ` +
        Object.keys(MINIMUM_VERSIONS).join(", "),
    );
  }
  return MINIMUM_VERSIONS[feature];
}

function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+.].*)?$/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])];
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
