/**
 * The nats-server versions that jsflow is tested on, in this one place: to move to another
 * release, change it here, with its checksums.
 */

/** The newest tested nats-server release. */
export const newestServerVersion = "2.15.2";

/** The oldest supported nats-server release. */
export const floorServerVersion = "2.9.10";

/**
 * SHA-256 checksums of the release archives, by version and then by `<os>-<arch>` as the archives
 * are named.
 *
 * A version without entries is checked against the `SHA256SUMS` file of the same release: that
 * detects a damaged download, but not a replaced release. Those of {@link floorServerVersion} are
 * the ones in NATS's own container images.
 */
export const serverChecksums: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [floorServerVersion]: {
    "darwin-amd64": "4c8913b6e9dcffe6abd47cc1047601d87aa96a2c0cfabd5a2d7502bb60684f49",
    "darwin-arm64": "2898df4f9ad0db4784dbbefe7266e1dd05023fa05908cf227c60e1bce7dc4521",
    "linux-amd64": "1dc0829c9cddbc9474a768853d464bd8b32cdaa51f66633825a20462b36071c8",
    "linux-arm64": "6e1378b40ff5b70fa664c885d5dad88daf0d6040d48c864e0e92a3f19565613a",
    "windows-amd64": "bd6d8d6c538da79e91d5c080d8c29d893bd46809698157d4a597930d4532e2da",
  },
};
