import type { LeaseStateName } from '../lease/lease-state.ts';

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
    /** IPv4, where it has one. */
    readonly address: string;
    readonly publicIp: string;
    /** Where it has both. */
    readonly ipv6?: { readonly address: string; readonly publicIp: string };
    readonly mtu: number;
    readonly why: string;
  };
  readonly network?: { readonly networks: readonly string[]; readonly backend: string };
  /** Who this machine is, whatever its address. */
  readonly node: { readonly id: string; readonly name: string };
  /** What this host uses, whatever etcd says of it now. */
  readonly lease?: {
    readonly subnets: readonly string[];
    readonly key: string;
    /** Seconds; absent for a reservation, and while etcd has not confirmed the lease. */
    readonly expiresIn?: number;
    /** A key without time to live. */
    readonly reserved: boolean;
    /** docs/leases.md tells what they mean. */
    readonly state: LeaseStateName;
    /** Seconds in this state. */
    readonly stateFor: number;
    /** Why it is not held; empty when it is. */
    readonly reason: string;
  };
  /** The network was restored from disk, and etcd has not answered since the start. */
  readonly remembered?: {
    /** RFC 3339. */
    readonly savedAt: string;
    /** Seconds, by this host's clock. */
    readonly age: number;
  };
  /** Bytes: what a container may send in one packet. */
  readonly mtu?: number;
  readonly subnetFile: string;
  readonly bridge?: string;
  /** Who moves packets between hosts: then there is an engine, or none is needed. */
  readonly carriedBy: 'engine' | 'kernel';
  /** What carries the packets of its WireGuard devices; absent where the backend has none. */
  readonly wireguard?: 'kernel' | 'wireguard-go';
  readonly engine?: EngineStatus;
  readonly peers: readonly PeerStatus[];
  /** Keys under `{prefix}/subnets/` that are not used, and why. */
  readonly ignoredLeases: readonly { readonly key: string; readonly reason: string }[];
}

export interface EngineStatus {
  readonly name: string;
  /** Its version; where that is not the daemon's, another is installed than runs. */
  readonly build: string;
  readonly pid: number;
  readonly routes: number;
  /** It was brought to hold the routes it should. */
  readonly ready: boolean;
  /** What it saves work with, and what it cannot, and why. */
  readonly offloads: readonly {
    readonly offload: string;
    readonly state: 'off' | 'on' | 'lost';
    /** Empty when on. */
    readonly reason: string;
  }[];
  /** Packets dropped since the engine started, by reason; reasons that never occurred are left out. */
  readonly drops: Readonly<Record<string, number>>;
  /** Packets that the kernel dropped before the engine could read them, since the device was made: its queue was full. */
  readonly queueDrops?: number;
}

export interface PeerStatus {
  /** Absent for flanneld's hosts, as is the version. */
  readonly name?: string;
  readonly version?: string;
  readonly subnets: readonly string[];
  readonly publicIp: string;
  readonly backend: string;
  /** Whether packets to it leave plainly, or in a tunnel. */
  readonly path: 'direct' | 'encapsulated';
  /** By the engine; 0 where the kernel carries. Inner packets and bytes since the engine started. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  /** Bytes: the largest inner packet that the path takes; absent where that is not known to be less than the MTU. */
  readonly pathMtu?: number;
  /** Why datagrams to it are not sent many at a time, though the engine can; absent where they are. */
  readonly noSegment?: string;
}
