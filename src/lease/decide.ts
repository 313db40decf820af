import type { SubnetRange } from '../config/network-config.ts';
import { fitsRange, type RandomInt } from '../ipam/pick-subnet.ts';
import { pickSubnets } from '../ipam/pick-subnets.ts';
import type { Prefix } from '../net/prefix.ts';
import type { LeaseId } from '../store/store.ts';
import type { Cluster } from './cluster.ts';
import { isOwn, type LeaseAttributes, leaseName, sharesAddress } from './lease-record.ts';
import { isNobodys, type StoredLease } from './lease-table.ts';
import { lostSubnets } from './lost-subnets.ts';
import type { NodeId } from './node-record.ts';
import type { StoredNode } from './node-table.ts';
import { isFor } from './reservation.ts';

/** What to do next to hold a lease. */
export type Decision =
  /** Find out whether a machine lives, whose claim stands against this host's; then decide anew. */
  | { readonly do: 'ask'; readonly node: StoredNode; readonly why: 'same-machine' | 'same-address' }
  /** It is this host's, and fits the network config. */
  | { readonly do: 'take-over'; readonly lease: StoredLease }
  /** It bears this host's public address, is no other machine's, and fits the network config no longer. */
  | { readonly do: 'discard'; readonly lease: StoredLease }
  | {
      readonly do: 'create';
      readonly subnets: readonly Prefix[];
      readonly reused: boolean;
      /**
       * This host's own that it takes the place of, deleted in the same transaction: what this machine's record still
       * names, and what names a part of the subnets. Of these, a reservation goes on as one.
       */
      readonly instead: readonly StoredLease[];
    }
  /** Out of subnets. */
  | { readonly do: 'wait'; readonly covering: readonly string[] };

export interface Situation {
  readonly prefix: string;
  /** Everything under the prefix, just read. */
  readonly cluster: Cluster;
  readonly ranges: readonly SubnetRange[];
  /** What this host publishes. */
  readonly attributes: LeaseAttributes;
  readonly nodeId: NodeId;
  readonly hostName: string;
  readonly hardware: string;
  /** Whether this machine's record in etcd is the one that this process has written. */
  readonly wroteRecord: boolean;
  /** Nodes that were asked whether they live, and did not answer. */
  readonly silent: ReadonlySet<NodeId>;
  /** The etcd lease that this process held its lease by: what hangs on it is its own, whoever names it. */
  readonly session: LeaseId | undefined;
  readonly previous: PreviousSubnets;
}

/** The subnets this host had last. */
export interface PreviousSubnets {
  /** Empty: none are known. */
  readonly subnets: readonly Prefix[];
  /** They are set up on this host, so its containers have addresses of them; else subnet.env only names them. */
  readonly inUse: boolean;
}

/**
 * The order of docs/leases.md: first nobody else may be this machine or have its address; then the lease in use, the one
 * this machine's record names, a reservation for it, one with its public address that is no other machine's (flannel's
 * rule), the subnet it had, and last any free one. Where not all of these subnets can be had, or the network has another
 * family than before, those that can be are kept.
 *
 * Malformed keys that still name a subnet count as taken, so that nobody's address range is handed out twice because of
 * a typing error in a value.
 */
export function decideLease(situation: Situation, random: RandomInt): Decision {
  const rival = rivalOf(situation);
  if (rival !== undefined) return rival;
  const { cluster, ranges, previous } = situation;
  const own = ownLeases(situation);
  const all = [...own.bound, ...own.reserved, ...own.byAddress];
  /** What a lease has, or a host had, that is of use under this network config. */
  const usable = (subnets: readonly Prefix[]) =>
    subnets.filter((subnet) => ranges.some((range) => fitsRange(range, subnet)));
  const remaining = (lease: StoredLease) => {
    const lost = lostSubnets(lease, cluster, situation).map(({ subnet }) => subnet);
    return usable(lease.subnets).filter((subnet) => !lost.includes(subnet));
  };
  const fitting = all.filter(
    (lease) => fitsRanges(lease.subnets, ranges) && remaining(lease).length === lease.subnets.length,
  );
  const inUse = previous.inUse ? usable(previous.subnets) : [];
  const same = [...fitting, ...spoilt(situation)].find((lease) => sameSubnets(lease.subnets, inUse));
  if (same !== undefined && fitsRanges(inUse, ranges)) return { do: 'take-over', lease: same };

  const create = (kept: readonly Prefix[]): Decision => {
    const instead = all.filter(
      (lease) =>
        (lease.entry.leaseId !== undefined && own.bound.includes(lease)) ||
        lease.subnets.some((subnet) => kept.some((other) => other.equals(subnet))),
    );
    const subnets = pickSubnets(ranges, kept, taken(cluster, instead), random);
    return subnets === undefined
      ? { do: 'wait', covering: coveringKeys(situation) }
      : { do: 'create', subnets, reused: kept.length === ranges.length, instead };
  };
  // Containers have these addresses, whatever an etcd restored from a backup says.
  const kept = inUse.filter((subnet) => !isTaken(subnet, cluster, all));
  if (kept.length === ranges.length) return create(kept);
  const keeping = fitting.filter(({ subnets }) =>
    kept.every((one) => subnets.some((other) => other.equals(one))),
  );
  const hinted = keeping.find((lease) => sameSubnets(lease.subnets, previous.subnets));
  const preferred = keeping.find((lease) => own.bound.includes(lease)) ?? hinted ?? keeping[0];
  if (preferred !== undefined) return { do: 'take-over', lease: preferred };
  if (kept.length > 0) return create(kept);

  // A key without an etcd lease is a reservation: somebody else's decision, never deleted here.
  const leased = [...own.bound, ...own.byAddress].filter((lease) => lease.entry.leaseId !== undefined);
  const partial = leased.map(remaining).find((subnets) => subnets.length > 0);
  if (partial !== undefined) return create(partial);
  const useless = own.byAddress.find((lease) => lease.entry.leaseId !== undefined);
  if (useless !== undefined) return { do: 'discard', lease: useless };

  const others = taken(cluster, []);
  return create(usable(previous.subnets).filter((subnet) => !others.some((other) => other.overlaps(subnet))));
}

function taken({ leases }: Cluster, except: readonly StoredLease[]): Prefix[] {
  const counted = leases.leases().filter((lease) => !except.includes(lease));
  return [...counted.flatMap(({ subnets }) => subnets), ...leases.namedByRejected()];
}

/**
 * Whether a subnet in use is another's: by a key that names it, or that a machine holds. One that only covers it (left
 * by another SubnetLen, or mistyped) took nothing away while this host had its lease, and takes nothing now.
 * @param own this host's leases
 */
function isTaken(inUse: Prefix, { leases, nodes }: Cluster, own: readonly StoredLease[]): boolean {
  const named = leases.leases().some((lease) => {
    if (!lease.subnets.some((other) => inUse.overlaps(other)) || own.includes(lease)) return false;
    return lease.subnets.some((other) => inUse.equals(other)) || nodes.holderOf(lease) !== undefined;
  });
  return named || leases.namedByRejected().some((other) => inUse.equals(other));
}

/** Leases of more than one subnet's addresses: one mistyped key can take them all. */
function coveringKeys({ cluster, ranges }: Situation): string[] {
  const isWide = ({ family, length }: Prefix) =>
    ranges.some(({ network, subnetLen }) => network.family === family && length < subnetLen);
  return cluster.leases
    .leases()
    .filter(({ subnets }) => subnets.some(isWide))
    .map(({ entry }) => entry.key);
}

/** A machine that may live and be mistaken for this one: by its id, as clones have it, or by its public address. */
function rivalOf(situation: Situation): Decision | undefined {
  const { cluster, nodeId, hardware, wroteRecord, silent, attributes } = situation;
  const namesake = cluster.nodes.get(nodeId);
  if (namesake !== undefined && !wroteRecord && namesake.hardware !== hardware && !silent.has(nodeId)) {
    return { do: 'ask', node: namesake, why: 'same-machine' };
  }
  const neighbour = cluster.leases
    .leases()
    .filter((lease) => isOwn(lease.attributes, attributes))
    .map((lease) => cluster.nodes.holderOf(lease))
    .find((node) => node !== undefined && node.nodeId !== nodeId && !silent.has(node.nodeId));
  return neighbour && { do: 'ask', node: neighbour, why: 'same-address' };
}

interface OwnLeases {
  /** Those that this machine's record names: one at the most. */
  readonly bound: readonly StoredLease[];
  /** Those that are for this machine by name or address. */
  readonly reserved: readonly StoredLease[];
  /** Those with its public address that no machine's record names: flanneld's on this host, before it was replaced. */
  readonly byAddress: readonly StoredLease[];
}

function ownLeases(situation: Situation): OwnLeases {
  const { cluster, nodeId, hostName, attributes, session } = situation;
  const bound: StoredLease[] = [];
  const reserved: StoredLease[] = [];
  const byAddress: StoredLease[] = [];
  for (const lease of cluster.leases.leases()) {
    const holder = cluster.nodes.holderOf(lease);
    const reservation =
      lease.entry.leaseId === undefined ? cluster.reservations.get(leaseName(lease.subnets)) : undefined;
    const isOurSession = session !== undefined && lease.entry.leaseId === session;
    const isOurs =
      holder === undefined ? isOurSession : holder.nodeId === nodeId || wasThis(holder, situation);
    if (isOurs) bound.push(lease);
    else if (reservation !== undefined) {
      if (isFor(reservation, nodeId, hostName)) reserved.push(lease);
    } else if (holder === undefined && isOwn(lease.attributes, attributes)) {
      (lease.entry.leaseId === undefined ? reserved : byAddress).push(lease);
    }
  }
  return { bound, reserved, byAddress };
}

/** This machine under a machine-id that it had before: the same hardware and address, and nobody answers. */
function wasThis(holder: StoredNode, { silent, hardware, attributes }: Situation): boolean {
  const isSame = holder.hardware === hardware && sharesAddress(holder, attributes);
  return isSame && silent.has(holder.nodeId);
}

/** The key of the subnets in use, where its value names nobody: put right instead of given up. */
function spoilt({ cluster, previous, attributes, nodeId, hostName }: Situation): StoredLease[] {
  if (!previous.inUse) return [];
  const isSame = (subnets: readonly Prefix[]) => sameSubnets(subnets, previous.subnets);
  const reservation = cluster.reservations.get(leaseName(previous.subnets));
  const isAnothers = reservation !== undefined && !isFor(reservation, nodeId, hostName);
  return [
    ...cluster.leases
      .rejected()
      .flatMap(({ entry, named }) => (named && isSame(named) ? [{ entry, subnets: named, attributes }] : [])),
    ...cluster.leases.leases().filter((lease) => isNobodys(lease) && isSame(lease.subnets) && !isAnothers),
  ];
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

export function sameSubnets(one: readonly Prefix[], other: readonly Prefix[]): boolean {
  return one.length === other.length && one.every((subnet, index) => subnet.equals(other[index]));
}
