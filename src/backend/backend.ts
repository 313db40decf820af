import type { Document } from '../config/document.ts';
import type { DeviceNames } from '../config/names.ts';
import type { Checked, SubnetRange } from '../config/network-config.ts';
import type { EngineConfig, EngineKind, Route } from '../datapath/datapath.ts';
import type { ExternalInterface, HostState } from '../host/state.ts';
import type { LeaseAttributes } from '../lease/lease-record.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import type { Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Secret } from '../secret.ts';

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
  /** Checks the backend's options in the network config, and binds them. @param families of the network */
  readonly check: (options: Document, families: readonly Family[]) => Checked<BackendDesign>;
}

/** A backend with its options bound. */
export interface BackendDesign {
  /** What has to be there before it can be opened. */
  readonly needs?: BackendNeeds;
  readonly open: (context: BackendContext) => Backend;
}

export interface BackendNeeds {
  /** Names of WireGuard keys of this host: made once, kept in the state-dir, changed on request. */
  readonly wireguardKeys?: readonly string[];
  /** Run before this host says anything of itself in etcd; what it prints is `context.printed`. */
  readonly startCommand?: OperatorCommand;
}

export interface BackendContext {
  readonly iface: ExternalInterface;
  /** Of the network, IPv4 first. */
  readonly families: readonly Family[];
  readonly names: DeviceNames;
  /** 32 hexadecimal digits, of one machine and instance. */
  readonly nodeId: string;
  /** Release of the kernel, `6.1.0-18-amd64`; absent: not known. */
  readonly kernel?: string;
  readonly datapath: DatapathWishes;
  /** As needed, by name. */
  readonly wireguardKeys: ReadonlyMap<string, WireguardKey>;
  /** By the start command, trimmed; empty where there is none. */
  readonly printed: string;
}

/** Base64, as WireGuard writes them. */
export interface WireguardKey {
  readonly privateKey: Secret;
  readonly publicKey: string;
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
  /** As in BackendKind. */
  readonly type: string;
  /** Bytes: what containers may send in one packet. */
  readonly mtu: number;
  /** What the lease says of this host. */
  readonly attributes: LeaseAttributes;
  /** What this host can do that a peer may want to know: words, in the host's record beside its lease. */
  readonly capabilities: readonly string[];
  /** What the operator should hear once: settings that do not go together. */
  readonly warnings: readonly string[];
  /** Why nothing can be sent to the host of a lease, a sentence without its key; `undefined`: it is a peer. */
  readonly objectionTo: (lease: StoredLease) => string | undefined;
  /** Of a peer, why nothing can be sent to some of its subnets, a sentence without its key; absent: to all or none. */
  readonly gapIn?: (peer: StoredLease) => string | undefined;
  /**
   * What no two peers may have in common, in words ("VtepMAC 02:…"): of those that do, the one with the oldest lease is
   * one.
   */
  readonly claimsOf?: (lease: StoredLease) => readonly string[];
  /** Whether packets go to a peer plainly, without encapsulation. @param capabilities the peer's */
  readonly isDirect: (peer: StoredLease, capabilities: readonly string[]) => boolean;
  readonly desired: (input: BackendInput) => BackendState;
}

export interface BackendInput {
  readonly ranges: readonly SubnetRange[];
  /** This host's subnets. */
  readonly subnets: readonly Prefix[];
  /** Those without an objection. The same object for as long as a lease stays as it is. */
  readonly peers: readonly StoredLease[];
  /** What a peer says of itself beside its lease; nothing, where flanneld runs. */
  readonly capabilitiesOf: (peer: StoredLease) => readonly string[];
}

export interface BackendState {
  readonly host: HostState;
  /** Absent: the kernel carries the packets. */
  readonly datapath?: DatapathState;
  /** Absent: no commands of the operator's are to be run. */
  readonly commands?: CommandState;
}

/** What the data plane should hold. */
export interface DatapathState {
  readonly engine: EngineKind;
  readonly config: EngineConfig;
  readonly local: readonly Prefix[];
  readonly routes: readonly Route[];
}

/** The operator's commands that should have been run, each once. */
export interface CommandState {
  /** Once this host has its subnet. */
  readonly started?: OperatorCommand;
  /** By the key of a peer's lease. */
  readonly peers: ReadonlyMap<string, PeerCommands>;
  /** When the backend is left, or all is removed from this host. */
  readonly shutdown?: OperatorCommand;
}

export interface PeerCommands {
  /** Once for each value of the lease. */
  readonly added?: OperatorCommand;
  readonly removed?: OperatorCommand;
}

/** For a shell. */
export interface OperatorCommand {
  /** The option of the network config it stands in, `SubnetAddCommand`. */
  readonly option: string;
  readonly line: string;
  /** Beside that of the daemon. */
  readonly environment: Readonly<Record<string, string>>;
  /** On standard input. */
  readonly input: string;
}
