import type { Ip } from '../net/ip.ts';
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
  readonly addresses: readonly InterfaceAddress[];
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
  /** The default routes that the kernel uses, best first. */
  readonly defaults: readonly Way[];
  /** To the address of --iface-can-reach. */
  readonly canReach?: Way | undefined;
  /** Absent: nobody has looked, see `needsEtcd`. */
  readonly etcd?: readonly EtcdWay[];
  /** Name of the interface that has been in use until now. */
  readonly current?: string | undefined;
}

export function ipv4Of({ addresses }: Interface): Ip[] {
  return addresses.map(({ ip }) => ip).filter(({ family }) => family === 4);
}

export function hasAddress(one: Interface, address: Ip): boolean {
  return one.addresses.some(({ ip }) => ip.equals(address));
}
