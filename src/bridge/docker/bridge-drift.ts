import { Ip } from '../../net/ip.ts';
import { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import { bridgeAddressesOf, type DockerSettings, subnetOf } from './settings.ts';

/** Docker's default bridge. */
export const DEFAULT_BRIDGE = 'docker0';

/** What it has now. */
export interface BridgeFacts {
  /** But for link-local ones: with their lengths, as ip shows them. */
  readonly addresses: readonly string[];
  /**
   * Bytes: what Docker gives containers; `undefined` when it did not say. The device itself tells nothing: before Docker 25
   * it has 1500 until a container is attached.
   */
  readonly mtu: number | undefined;
}

/** @returns how it differs from the lease, or `undefined` */
export function bridgeDrift(wanted: DockerSettings, { addresses, mtu }: BridgeFacts): string | undefined {
  const ours = bridgeAddressesOf(wanted);
  if (!ours.every((address) => addresses.includes(address))) {
    // What it has of a family that the network has not is Docker's own matter.
    const there = addresses.filter((one) => subnetOf(wanted, one.includes(':') ? 6 : 4) !== undefined);
    const has = there.length === 0 ? 'no address' : there.map((one) => printable(one)).join(' and ');
    return `${DEFAULT_BRIDGE} has ${has}, this host's ${ours.length > 1 ? 'subnets are' : 'subnet is'} ${ours.join(' and ')}`;
  }
  if (mtu === undefined || mtu === wanted.mtu) return undefined;
  return `Docker gives containers of ${DEFAULT_BRIDGE} an MTU of ${mtu}, the overlay's is ${wanted.mtu}`;
}

/**
 * An address for docker0 outside of the overlay, as dockerd itself would choose: the first of 172.17.0.0/16 to
 * 172.31.0.0/16 that this host has nothing in.
 *
 * @param taken networks of this host's addresses
 */
export function otherBridgeAddress(taken: readonly Prefix[]): string {
  const all = Array.from({ length: 15 }, (_, index) => Prefix.of(Ip.parse(`172.${17 + index}.0.0`), 16));
  const free = all.find((one) => !taken.some((other) => other.overlaps(one))) ?? all[0];
  return `${free?.address.plus(1n)}/16`;
}
