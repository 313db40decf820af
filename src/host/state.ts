import type { Ip } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

/** What Corduroy wants of the kernel: data, computed by backends and bridges, carried out by the reconciler. */
export interface HostState {
  readonly links: readonly LinkState[];
  readonly routes: readonly RouteState[];
  readonly sysctls: readonly Sysctl[];
}

export interface LinkState {
  readonly name: string;
  readonly kind: 'tun' | 'bridge';
  readonly mtu: number;
  /** Of a tun, 1 when absent: with more it is made a multi-queue device, which it is for its life. */
  readonly queues?: number;
  /** All the addresses it has, but for link-local ones. */
  readonly addresses: readonly InterfaceAddress[];
  /** Hardware address to create it with; the kernel's choice when absent. */
  readonly mac?: string;
  /** What was attached to a bridge, and is attached again when it has to be created. */
  readonly ports?: readonly Port[];
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
  | { readonly type: 'unicast'; readonly prefix: Prefix; readonly device: string }
  | { readonly type: 'blackhole'; readonly prefix: Prefix; readonly metric: number };

/** A value under /proc/sys, such as `net/ipv4/conf/corduroy0/forwarding`. */
export interface Sysctl {
  readonly path: string;
  readonly value: string;
  /** Nothing is wrong if the kernel has no such value. */
  readonly optional?: true;
}

/** What a host has now, of what Corduroy may touch. */
export interface ObservedHost {
  readonly links: readonly ObservedLink[];
  /** Routes of Corduroy's protocol number. */
  readonly routes: readonly RouteState[];
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
  readonly index?: number;
  /** The bridge it is a port of. */
  readonly master?: string;
}

export function formatInterfaceAddress({ ip, length }: InterfaceAddress): string {
  return `${ip}/${length}`;
}

/** A text that is equal for equal routes. */
export function formatRoute(route: RouteState): string {
  return route.type === 'unicast'
    ? `${route.prefix} dev ${route.device}`
    : `blackhole ${route.prefix} metric ${route.metric}`;
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
  /** Its address: what the data plane listens on. */
  readonly address: Ip;
  /** What other hosts send to. */
  readonly publicIp: Ip;
  /** The reasoning, one sentence. */
  readonly why: string;
}
