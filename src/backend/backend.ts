import type { Document } from '../config/document.ts';
import type { Checked, SubnetRange } from '../config/network-config.ts';
import type { EngineConfig, EngineKind, Route } from '../datapath/datapath.ts';
import type { ExternalInterface, HostState } from '../host/state.ts';
import type { LeaseAttributes } from '../lease/lease-record.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import type { Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

/**
 * A way of carrying packets between hosts. It computes and runs nothing: what the kernel and the data plane should
 * hold is a function of its input, and the reconciler brings it about.
 *
 * To add one: a folder beside `udp/`, and a line in `registry.ts`.
 */
export interface BackendKind {
  /** `Backend.Type` in the network config, lower case. */
  readonly type: string;
  /** The address families it carries. */
  readonly families: readonly Family[];
  /** Checks the backend's options in the network config, and binds them. */
  readonly check: (options: Document) => Checked<BackendFactory>;
}

export type BackendFactory = (context: BackendContext) => Backend;

export interface BackendContext {
  readonly iface: ExternalInterface;
  /** Name for the tunnel device. */
  readonly tun: string;
  readonly datapath: DatapathWishes;
}

/** What the flags of this host's daemon say about its data plane. */
export interface DatapathWishes {
  /** Wins over the network config; `undefined`: that decides. */
  readonly engine: EngineKind | undefined;
  readonly offload: boolean;
  /** 1 … 16, for an engine that can have more than one. */
  readonly queues: number;
}

export interface Backend {
  /** Bytes: what containers may send in one packet. */
  readonly mtu: number;
  /** What the lease says of this host. */
  readonly attributes: LeaseAttributes;
  /** What this host can do that a peer may want to know: words, in the host's record beside its lease. */
  readonly capabilities: readonly string[];
  /** What the operator should hear once: settings that do not go together. */
  readonly warnings: readonly string[];
  readonly desired: (input: BackendInput) => BackendState;
}

export interface BackendInput {
  readonly ranges: readonly SubnetRange[];
  /** This host's subnets. */
  readonly subnets: readonly Prefix[];
  readonly peers: readonly StoredLease[];
}

export interface BackendState {
  readonly host: HostState;
  /** Absent: the kernel carries the packets. */
  readonly datapath?: DatapathState;
}

/** What the data plane should hold. */
export interface DatapathState {
  readonly engine: EngineKind;
  readonly config: EngineConfig;
  readonly local: readonly Prefix[];
  readonly routes: readonly Route[];
}
