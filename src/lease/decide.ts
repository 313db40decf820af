import type { SubnetRange } from '../config/network-config.ts';
import { fitsRange, pickSubnet, type RandomInt } from '../ipam/pick-subnet.ts';
import type { Prefix } from '../net/prefix.ts';
import type { LeaseAttributes } from './lease-record.ts';
import type { LeaseTable, StoredLease } from './lease-table.ts';

/** What to do next to hold a lease. */
export type Decision =
  /** It bears this host's public address and fits the network config. */
  | { readonly do: 'take-over'; readonly lease: StoredLease }
  /** It bears this host's public address, and fits the network config no longer. */
  | { readonly do: 'discard'; readonly lease: StoredLease }
  | { readonly do: 'create'; readonly subnets: readonly Prefix[]; readonly reused: boolean }
  | { readonly do: 'wait'; readonly reason: 'out-of-subnets' };

export interface Situation {
  /** `{prefix}/subnets/`, just read. */
  readonly table: LeaseTable;
  readonly ranges: readonly SubnetRange[];
  /** What this host publishes: a lease with the same public address is its own. */
  readonly attributes: LeaseAttributes;
  /** The subnets this host had last, from memory or from subnet.env; empty when there are none. */
  readonly previous: readonly Prefix[];
}

/**
 * Flannel's order: a lease of one's own, else the subnet one had, else any free one. Malformed keys that still name a
 * subnet count as taken, so that nobody's address range is handed out twice because of a typing error in a value.
 */
export function decideLease({ table, ranges, attributes, previous }: Situation, random: RandomInt): Decision {
  const leases = table.leases();
  const mine = leases.filter((lease) => isOwn(lease.attributes, attributes));
  const fitting = mine.filter((lease) => fitsRanges(lease.subnets, ranges));
  const preferred = fitting.find((lease) => sameSubnets(lease.subnets, previous)) ?? fitting[0];
  if (preferred !== undefined) return { do: 'take-over', lease: preferred };
  // A key without an etcd lease is a reservation: somebody else's decision, never deleted here.
  const useless = mine.find((lease) => lease.entry.leaseId !== undefined);
  if (useless !== undefined) return { do: 'discard', lease: useless };

  const taken = [...leases.flatMap((lease) => lease.subnets), ...table.namedByRejected()];
  const free = (subnet: Prefix) => !taken.some((other) => other.overlaps(subnet));
  if (fitsRanges(previous, ranges) && previous.every(free))
    return { do: 'create', subnets: previous, reused: true };
  const picked = ranges.map((range) => pickSubnet(range, taken, random));
  const subnets = picked.filter((subnet) => subnet !== undefined);
  return subnets.length === ranges.length
    ? { do: 'create', subnets, reused: false }
    : { do: 'wait', reason: 'out-of-subnets' };
}

/** Whether the subnets are what a lease under this network config would hold: one of each range, in its order. */
export function fitsRanges(subnets: readonly Prefix[], ranges: readonly SubnetRange[]): boolean {
  return (
    subnets.length === ranges.length &&
    ranges.every((range, index) => {
      const subnet = subnets[index];
      return subnet !== undefined && fitsRange(range, subnet);
    })
  );
}

/** Whether two sets of attributes bear the same public address, in flannel's sense: the identity of a host. */
export function isOwn(one: LeaseAttributes, other: LeaseAttributes): boolean {
  if (one.publicIp !== undefined || other.publicIp !== undefined) {
    return one.publicIp?.equals(other.publicIp) ?? false;
  }
  return one.publicIpv6?.equals(other.publicIpv6) ?? false;
}

export function sameSubnets(one: readonly Prefix[], other: readonly Prefix[]): boolean {
  return one.length === other.length && one.every((subnet, index) => subnet.equals(other[index]));
}
