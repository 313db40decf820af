import type { Endpoint } from '../net/endpoint.ts';
import type { Ip } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

/**
 * A running data plane, as the daemon sees it: a process of its own that moves packets between a TUN device and a
 * UDP socket by the table it is given. It holds no policy and goes on forwarding when the daemon is gone.
 *
 * Every call rejects with CorduroyError `datapath` when the engine is gone, does not answer in time, or refuses.
 */
export interface Datapath {
  readonly hello: EngineHello;
  /** Once in an engine's life; again with the very same configuration it does nothing. Anything else is refused. */
  configure(config: EngineConfig): Promise<void>;
  /** One atomic swap: each packet is forwarded by the old table or the new one, never by a mixture. */
  replaceRoutes(table: RouteTable): Promise<void>;
  /** Refused (`datapath`) unless the engine's table is of generation `delta.from`. As atomic as replaceRoutes. */
  updateRoutes(delta: RouteDelta): Promise<void>;
  stats(): Promise<EngineStats>;
  /** Ends the engine: it answers, closes its devices and exits. */
  shutdown(): Promise<void>;
  /** Resolves when the connection to the engine has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  /** Closes this connection; the engine goes on. */
  close(): void;
}

/** The programs that can be the data plane: `native` is the one to use, `dgram` the reference that it is held against. */
export const ENGINES = ['native', 'dgram'] as const;

export type EngineKind = (typeof ENGINES)[number];

export interface EngineHello {
  /** `dgram` or `native`; another program's name is possible. */
  readonly engine: string;
  /** Version of the program, for people. */
  readonly build: string;
  readonly pid: number;
  /** Absent: idle, waiting for `configure`. */
  readonly config: EngineConfig | undefined;
}

export interface EngineConfig {
  readonly tunName: string;
  /** Bytes: the largest inner packet that is sent or admitted. 68 … 65507. */
  readonly mtu: number;
  /** Outer address and UDP port to listen on and send from. */
  readonly listen: Endpoint;
  /** Source of the ICMP errors the engine writes into the TUN: one address a family in use. */
  readonly icmpSources: readonly Ip[];
  /** Admit only inner sources that belong to the sending peer, and only inner destinations that are local. */
  readonly strictSource: boolean;
  /** Use every offload that works here. False: one packet a system call, as a reference for measurements. */
  readonly offload: boolean;
  /**
   * Copy the inner ECN bits to the outer header (RFC 6040 normal mode), which only peers that copy congestion marks back
   * may be sent. False: the outer header says Not-ECT (compatibility mode). What comes in is treated the same way in both.
   */
  readonly ecn: boolean;
  /** TUN queues, each with its threads and its UDP socket. 1 … 16; more than one needs a multi-queue device. */
  readonly queues: number;
}

export interface Route {
  readonly prefix: Prefix;
  readonly peer: Endpoint;
}

export interface RouteTable {
  /** Chosen by the daemon; grows with every change. */
  readonly generation: bigint;
  /** The subnets of this host: the inner destinations that are admitted. */
  readonly local: readonly Prefix[];
  readonly routes: readonly Route[];
}

export interface RouteDelta {
  readonly from: bigint;
  readonly to: bigint;
  /** Removed first. A prefix that is not in the table is no error. */
  readonly remove: readonly Prefix[];
  /** Added, or replaced. */
  readonly set: readonly Route[];
}

/**
 * Why a packet was dropped. A closed set shared by all engines; the number is what travels in the control protocol.
 * `in`: from the UDP socket towards the TUN; `out`: from the TUN towards the UDP socket.
 */
export const DROP_REASONS = {
  /** in: the outer source address is no peer's. */
  'in-unknown-peer': 1,
  /** in: the inner source is not in a subnet of the sending peer. */
  'in-wrong-source': 2,
  /** in: the inner destination is not in a subnet of this host. */
  'in-wrong-destination': 3,
  /** in: shorter than its header, or than its header says. */
  'in-truncated': 4,
  /** in: the IP version is neither 4 nor 6. */
  'in-bad-version': 5,
  /** in: larger than the MTU. */
  'in-too-big': 6,
  /** in: the TUN refused it. */
  'in-tun-error': 7,
  /** in: the outer header says "congestion experienced", and the inner one cannot carry it (RFC 6040 4.2). */
  'in-congestion': 8,
  /** out: no peer holds the inner destination. */
  'out-no-route': 16,
  'out-truncated': 17,
  'out-bad-version': 18,
  /** out: larger than the MTU; the sender is told by ICMP. */
  'out-too-big': 19,
  /** out: the socket refused it (no buffer, unreachable). */
  'out-send-error': 20,
  /** out: larger than the path to the peer takes; the sender is told by ICMP. */
  'out-path-mtu': 21,
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/**
 * What an engine can save work with. A closed set shared by all engines; the number is what travels in the control
 * protocol.
 */
export const OFFLOADS = {
  /** Many TCP segments cross the TUN as one packet of up to 64 KiB (TUN_F_TSO4, TUN_F_TSO6). */
  'tun-tso': 1,
  /** Many UDP datagrams of one flow cross the TUN as one packet (TUN_F_USO4, TUN_F_USO6; Linux 6.2). */
  'tun-uso': 2,
  /** Many datagrams of one size leave in one send (UDP_SEGMENT; Linux 4.18). */
  'udp-segment': 3,
  /** Many datagrams of one size arrive in one receive (UDP_GRO; Linux 5.0). */
  'udp-gro': 4,
  /** Many packets a system call (sendmmsg, recvmmsg). */
  batch: 5,
} as const;

export type Offload = keyof typeof OFFLOADS;

/** `off`: never in use. `lost`: was in use, until the kernel or the path refused it. */
export const OFFLOAD_STATES = { off: 0, on: 1, lost: 2 } as const;

export interface OffloadStatus {
  readonly offload: Offload;
  readonly state: keyof typeof OFFLOAD_STATES;
  /** Why it is not on: a few words. Empty when on. */
  readonly reason: string;
}

export interface Traffic {
  /** Inner packets and bytes sent to, and admitted from, the peer. */
  readonly sentPackets: bigint;
  readonly sentBytes: bigint;
  readonly receivedPackets: bigint;
  readonly receivedBytes: bigint;
}

export interface EngineStats {
  readonly generation: bigint;
  readonly routes: number;
  readonly drops: Readonly<Record<DropReason, bigint>>;
  /** One for each offload that the engine knows of. */
  readonly offloads: readonly OffloadStatus[];
  /** By outer address. Kept as long as any route leads to the address. */
  readonly peers: readonly EnginePeer[];
}

export interface EnginePeer extends Traffic {
  readonly address: Ip;
  /** Bytes: the largest inner packet that the path takes, where that is less than the MTU; 0: nothing less is known. */
  readonly pathMtu: number;
  /** Why datagrams to this peer are not sent many at a time, though the engine can; empty when they are. */
  readonly noSegment: string;
}
