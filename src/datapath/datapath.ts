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

export interface EngineHello {
  /** `dgram` or `native`. */
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
  /** out: no peer holds the inner destination. */
  'out-no-route': 16,
  'out-truncated': 17,
  'out-bad-version': 18,
  'out-too-big': 19,
  /** out: the socket refused it (no buffer, unreachable, path MTU). */
  'out-send-error': 20,
} as const;

export type DropReason = keyof typeof DROP_REASONS;

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
  /** By outer address. Kept as long as any route leads to the address. */
  readonly peers: readonly ({ readonly address: Ip } & Traffic)[];
}
