import type { Family, Ip } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Secret } from '../secret.ts';

/** What Corduroy wants of the kernel: data, computed by backends and bridges, carried out by the reconciler. */
export interface HostState {
  readonly links: readonly LinkState[];
  readonly routes: readonly RouteState[];
  readonly sysctls: readonly Sysctl[];
}

export type LinkState = TunLink | BridgeLink | VxlanLink | IpipLink | WireguardLink;

interface LinkBase {
  readonly name: string;
  readonly mtu: number;
  /** All the addresses it has, but for link-local ones. */
  readonly addresses: readonly InterfaceAddress[];
}

export interface TunLink extends LinkBase {
  readonly kind: 'tun';
  /** 1 when absent: with more it is made a multi-queue device, which it is for its life. */
  readonly queues?: number;
}

export interface BridgeLink extends LinkBase {
  readonly kind: 'bridge';
  /** Hardware address to create it with; the kernel's choice when absent. */
  readonly mac?: string;
  /** What was attached to it, and is attached again when it has to be created. */
  readonly ports?: readonly Port[];
}

/** What is encapsulated goes to where its destination's neighbour entry and that one's FDB entry say. */
export interface VxlanLink extends LinkBase {
  readonly kind: 'vxlan';
  readonly mac: string;
  /** 1 … 16777215 */
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  /** Source of the outer packets, and the interface they leave by. */
  readonly local: Ip;
  readonly device: string;
  readonly learning: boolean;
  /** Group-based policy. */
  readonly gbp: boolean;
  /** Whether the kernel may leave outer UDP checksums to the card; absent: the kernel's own choice. */
  readonly txChecksum?: boolean;
  /** Whether a host that has no ethtool is to do without that. */
  readonly txChecksumOptional?: boolean;
  readonly remotes: readonly VxlanRemote[];
}

/** Another host's end of a VXLAN: a neighbour entry (`ip` has `mac`), and an FDB entry (`mac` is behind `destination`). */
export interface VxlanRemote {
  readonly ip: Ip;
  /** Lower case. */
  readonly mac: string;
  /** Outer address. */
  readonly destination: Ip;
}

export interface IpipLink extends LinkBase {
  readonly kind: 'ipip';
  /** Source of the outer packets, and the interface they leave by. */
  readonly local: Ip;
  readonly device: string;
}

/** Made by the kernel, or by wireguard-go where that cannot. */
export interface WireguardLink extends LinkBase {
  readonly kind: 'wireguard';
  /** Base64. */
  readonly privateKey: Secret;
  readonly publicKey: string;
  /** UDP. */
  readonly port: number;
  readonly peers: readonly WireguardPeer[];
}

export interface WireguardPeer {
  /** Base64. */
  readonly publicKey: string;
  readonly presharedKey?: Secret;
  /** Outer address and UDP port. */
  readonly endpoint: { readonly address: Ip; readonly port: number };
  readonly allowedIps: readonly Prefix[];
  /** Seconds between packets that keep a NAT open; 0: none. */
  readonly keepalive: number;
}

/** A link as the kernel tells it from others: a name may be given again. */
export interface Port {
  readonly index: number;
  readonly name: string;
}

export interface InterfaceAddress {
  readonly ip: Ip;
  readonly length: number;
}

/** A route in the main table, with Corduroy's protocol number. */
export type RouteState =
  | {
      readonly type: 'unicast';
      readonly prefix: Prefix;
      /** One of the links above, or the interface that traffic between hosts goes by. */
      readonly device: string;
      readonly gateway?: Ip;
      /** The gateway is taken to be on the link, whatever other routes say. */
      readonly onlink?: true;
      /** Absent: what the kernel takes by itself, 0 or for IPv6 1024. */
      readonly metric?: number;
    }
  | { readonly type: 'blackhole'; readonly prefix: Prefix; readonly metric: number };

/** A value under /proc/sys, such as `net/ipv4/conf/corduroy0/forwarding`. */
export interface Sysctl {
  readonly path: string;
  readonly value: string;
  /** Nothing is wrong if the kernel has no such value. */
  readonly optional?: true;
  /** What is done where the kernel has no such value. */
  readonly otherwise?: 'forward-all-ipv6';
}

/** IPv6 packets that come in by a device may leave by another one: since Linux 6.17 that is up to each device. */
export function ipv6Forwarding(device: string): Sysctl {
  return { path: `net/ipv6/conf/${device}/force_forwarding`, value: '1', otherwise: 'forward-all-ipv6' };
}

/** What a host has now, of what Corduroy may touch. */
export interface ObservedHost {
  readonly links: readonly ObservedLink[];
  /** Routes of Corduroy's protocol number. */
  readonly routes: readonly RouteState[];
  /** What VXLAN devices hold, by name: of those that were asked for and are there. */
  readonly vxlans: ReadonlyMap<string, VxlanTables>;
}

/** Only permanent entries: what a device has learned is its own business. */
export interface VxlanTables {
  /** Hardware addresses, lower case, by IP address. */
  readonly neighbours: ReadonlyMap<string, string>;
  /** Outer addresses by hardware address: several only for those of groups. */
  readonly fdb: ReadonlyMap<string, readonly string[]>;
  /** Absent: not asked for, or there is no ethtool. */
  readonly txChecksum?: boolean;
}

export interface ObservedLink {
  readonly name: string;
  /** `tun`, `bridge`, or whatever the kernel calls it. */
  readonly kind: string;
  /** A tun that several file descriptors can be attached to, one a queue. */
  readonly multiQueue: boolean;
  readonly alias: string;
  readonly up: boolean;
  readonly mtu: number;
  /** Packets that wait for whoever reads a tun. */
  readonly queueLength: number;
  readonly addresses: readonly InterfaceAddress[];
  /** Hardware address, where it has one. */
  readonly mac?: string;
  /** Of a tunnel with an outer header of the kernel's. */
  readonly tunnel?: ObservedTunnel;
  readonly index?: number;
  /** The bridge it is a port of. */
  readonly master?: string;
}

export interface ObservedTunnel {
  readonly local?: Ip;
  readonly device?: string;
  /** Of a VXLAN. */
  readonly vxlan?: Pick<VxlanLink, 'vni' | 'port' | 'learning' | 'gbp'>;
}

export function formatInterfaceAddress({ ip, length }: InterfaceAddress): string {
  return `${ip}/${length}`;
}

/** A text that is equal for equal routes. */
export function formatRoute(route: RouteState): string {
  const metric = route.metric === undefined ? '' : ` metric ${route.metric}`;
  if (route.type === 'blackhole') return `blackhole ${route.prefix}${metric}`;
  const via = route.gateway === undefined ? '' : ` via ${route.gateway}`;
  return `${route.prefix}${via} dev ${route.device}${route.onlink ? ' onlink' : ''}${metric}`;
}

/** As ip writes it: an address alone has no length. */
export function routeDestination({ prefix }: RouteState): string {
  const isAddress = prefix.length === (prefix.family === 4 ? 32 : 128);
  return isAddress ? prefix.address.toString() : prefix.toString();
}

/** The interface the traffic between hosts goes by. */
export interface ExternalInterface {
  readonly name: string;
  /** Hardware address; empty where it has none. */
  readonly mac: string;
  readonly mtu: number;
  /** By family, where it has an address of it. */
  readonly v4?: OuterAddress;
  readonly v6?: OuterAddress;
  /** The networks of its addresses: whose hosts it reaches without a gateway. */
  readonly onLink: readonly Prefix[];
  /** The reasoning, one sentence. */
  readonly why: string;
}

export interface OuterAddress {
  /** The interface's own: what the data plane listens on. */
  readonly address: Ip;
  /** What other hosts send to. */
  readonly publicIp: Ip;
}

export function outerAddress({ v4, v6 }: ExternalInterface, family: Family): OuterAddress | undefined {
  return family === 4 ? v4 : v6;
}

/** IPv4 first. */
export function outerAddresses({ v4, v6 }: ExternalInterface): OuterAddress[] {
  return [v4, v6].filter((one) => one !== undefined);
}
