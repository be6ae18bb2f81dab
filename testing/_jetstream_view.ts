/** What one server of a cluster believes about JetStream. */
export interface JetStreamView {
  readonly serverName: string | undefined;
  /** The name of JetStream's leader, if there is one. */
  readonly metaLeader: string | undefined;
  /** On the leader: how many of its peers are up to date. */
  readonly currentPeers: number;
  /** The name of each stream's leader, for streams that have one; only if asked for. */
  readonly streamLeaders: ReadonlyMap<string, string>;
}

interface ClusterInfo {
  readonly leader?: string;
  readonly replicas?: readonly { readonly current: boolean; readonly offline?: boolean }[] | null;
}

interface Jsz {
  readonly meta_cluster?: ClusterInfo;
  readonly account_details?:
    | readonly {
      readonly stream_detail?:
        | readonly { readonly name: string; readonly cluster?: ClusterInfo }[]
        | null;
    }[]
    | null;
}

/** Reads a server's view from its monitoring pages, which needs no credentials. */
export async function readJetStream(
  monitorUrl: string,
  options: { readonly withStreams: boolean; readonly timeoutMs: number },
): Promise<JetStreamView> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  const query = options.withStreams ? "?accounts=1&streams=1" : "";
  const jsz = await readJson<Jsz>(`${monitorUrl}/jsz${query}`, signal);
  const { server_name: serverName } = await readJson<{ server_name?: string }>(
    `${monitorUrl}/varz`,
    signal,
  );
  const peers = jsz.meta_cluster?.replicas ?? [];
  return {
    serverName,
    metaLeader: jsz.meta_cluster?.leader || undefined,
    currentPeers: peers.filter((peer) => peer.current && !peer.offline).length,
    streamLeaders: leadersOf(jsz),
  };
}

function leadersOf(jsz: Jsz): ReadonlyMap<string, string> {
  const streams = (jsz.account_details ?? []).flatMap((account) => account.stream_detail ?? []);
  return new Map(
    streams.flatMap(({ name, cluster }) => cluster?.leader ? [[name, cluster.leader]] : []),
  );
}

async function readJson<T>(url: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(url, { signal });
  return await response.json() as T;
}
