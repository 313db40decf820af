/**
 * What a daemon says of itself, as JSON over its socket (`GET /v1/status`), and what `corduroy status --json` prints.
 * Within a schema number, keys are only added.
 */
export interface StatusDocument {
  readonly schema: 1;
  readonly version: string;
  readonly pid: number;
  readonly instance: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** subnet.env is written and the routes stand. */
  readonly ready: boolean;
  /** What is wrong now, a sentence each; empty on a healthy host. */
  readonly problems: readonly string[];
  readonly etcd: {
    readonly endpoints: readonly string[];
    readonly prefix: string;
    readonly connected: boolean;
  };
  readonly interface?: {
    readonly name: string;
    readonly address: string;
    readonly publicIp: string;
    readonly mtu: number;
    readonly why: string;
  };
  readonly network?: { readonly networks: readonly string[]; readonly backend: string };
  readonly lease?: {
    readonly subnets: readonly string[];
    readonly key: string;
    /** Seconds; absent for a reservation. */
    readonly expiresIn?: number;
  };
  /** Bytes: what a container may send in one packet. */
  readonly mtu?: number;
  readonly subnetFile: string;
  readonly bridge?: string;
  readonly engine?: EngineStatus;
  readonly peers: readonly PeerStatus[];
  /** Keys under `{prefix}/subnets/` that are not used, and why. */
  readonly ignoredLeases: readonly { readonly key: string; readonly reason: string }[];
}

export interface EngineStatus {
  readonly name: string;
  readonly build: string;
  readonly pid: number;
  readonly routes: number;
  /** Packets dropped since the engine started, by reason; reasons that never occurred are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface PeerStatus {
  readonly subnets: readonly string[];
  readonly publicIp: string;
  readonly backend: string;
  /** Inner packets and bytes since the engine started. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
}
