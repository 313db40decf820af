import type { Family, Ip } from '../net/ip.ts';
import type { InterfaceAddress } from './state.ts';

/** An interface of this host, as far as the choice of one depends on it. */
export interface Interface {
  readonly name: string;
  /** As the kernel calls it, `bridge` or `wireguard`; empty for a network card. */
  readonly kind: string;
  readonly mac: string;
  readonly mtu: number;
  readonly isLoopback: boolean;
  /** It is up, and somebody is at the other end. */
  readonly hasCarrier: boolean;
  /** But for link-local ones. Of IPv6, those that others can send to for as long as the host has them come first. */
  readonly addresses: readonly HostAddress[];
}

export interface HostAddress extends InterfaceAddress {
  /** IPv6: it is deprecated, temporary (RFC 8981), not known to be unique yet, or known not to be. */
  readonly isPassing?: true;
}

/** How packets leave for somewhere. */
export interface Way {
  readonly device: string;
  readonly gateway?: string;
  readonly source?: string;
}

/** An address of etcd, and the way to it. Without an address: its name cannot be resolved. */
export interface EtcdWay {
  readonly host: string;
  readonly address?: Ip;
  readonly way?: Way;
}

/** What the choice depends on. */
export interface HostFacts {
  readonly interfaces: readonly Interface[];
  /** That the interface has to have an address of, one at least; the routes below are of the first. */
  readonly families: readonly Family[];
  /** Whose address is told, too, if it has one. */
  readonly alsoTold?: readonly Family[];
  /** The default routes that the kernel uses, best first. */
  readonly defaults: readonly Way[];
  /** To the address of --iface-can-reach. */
  readonly canReach?: Way | undefined;
  /** Absent: nobody has looked, see `needsEtcd`. */
  readonly etcd?: readonly EtcdWay[];
  /** Name of the interface that has been in use until now. */
  readonly current?: string | undefined;
}

/** Those that can be published. */
export function addressesIn({ addresses }: Interface, families: readonly Family[]): Ip[] {
  return addresses
    .filter(({ ip, isPassing }) => families.includes(ip.family) && isPassing !== true)
    .map(({ ip }) => ip);
}

/** Whether it has an address of each family. */
export function hasFamilies(one: Interface, families: readonly Family[]): boolean {
  return families.every((family) => addressesIn(one, [family]).length > 0);
}

export function hasAddress(one: Interface, address: Ip): boolean {
  return one.addresses.some(({ ip }) => ip.equals(address));
}

/** What an interface needs for these families: `an IPv4 address`. */
export function needOf(families: readonly Family[]): string {
  if (families.length > 1) return 'both an IPv4 and a global IPv6 address';
  return families[0] === 6 ? 'a global IPv6 address' : 'an IPv4 address';
}

/** What it has, of these families, where it is of no use: `no IPv4 address`. */
export function lackOf(families: readonly Family[]): string {
  if (families.length > 1) return 'neither an IPv4 nor a global IPv6 address';
  return families[0] === 6 ? 'no global IPv6 address' : 'no IPv4 address';
}
