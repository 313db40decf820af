import { CorduroyError } from '../../errors.ts';
import type { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import type { Store } from '../../store/store.ts';
import { Cluster } from '../cluster.ts';
import { leaseKey, leaseName } from '../lease-record.ts';
import type { RejectedLease, StoredLease } from '../lease-table.ts';
import { reservationKey } from '../reservation.ts';

/** Everything under the prefix as of one revision: what an operator's command decides by, and fences its writes with. */
export interface Snapshot {
  readonly prefix: string;
  readonly cluster: Cluster;
}

export async function readSnapshot(store: Store, prefix: string): Promise<Snapshot> {
  const { entries } = await store.list(`${prefix}/`);
  return { prefix, cluster: new Cluster(prefix, entries) };
}

/** The key that says whom the reservation of these subnets is for, whether it is there or not. */
export function sideKey({ prefix }: Snapshot, subnets: readonly Prefix[]): string {
  return reservationKey(prefix, leaseName(subnets));
}

/**
 * The key that names exactly these subnets, or else the only one that names all of them among others: half of a
 * dual-stack lease stands for it.
 *
 * @throws CorduroyError `conflict` when several do
 */
export function findLease(
  { prefix, cluster }: Snapshot,
  subnets: readonly Prefix[],
): StoredLease | RejectedLease | undefined {
  const exact = cluster.leases.get(leaseKey(prefix, subnets));
  if (exact !== undefined) return exact;
  const found = [...cluster.leases.leases(), ...cluster.leases.rejected()].filter((lease) =>
    subnets.every((subnet) => namedBy(lease).some((other) => other.equals(subnet))),
  );
  if (found.length > 1) {
    const keys = found.map(({ entry }) => printable(entry.key)).join(' and ');
    throw new CorduroyError(
      'conflict',
      `${subnets.join(' and ')} is named by ${keys}: name all subnets of the one that is meant`,
    );
  }
  return found[0];
}

/** Every other key that names any address of these subnets. */
export function overlapping(
  { prefix, cluster }: Snapshot,
  subnets: readonly Prefix[],
): (StoredLease | RejectedLease)[] {
  const own = leaseKey(prefix, subnets);
  return [...cluster.leases.leases(), ...cluster.leases.rejected()].filter(
    (lease) =>
      lease.entry.key !== own &&
      namedBy(lease).some((other) => subnets.some((subnet) => subnet.overlaps(other))),
  );
}

/** What may have been meant by subnets that no key names, a sentence each. */
export function nearMisses(snapshot: Snapshot, subnets: readonly Prefix[]): string[] {
  return overlapping(snapshot, subnets).map(
    (other) => `${namedBy(other).join(' and ')} overlaps it: is that the one that is meant?`,
  );
}

/** The subnets of a key, whether its value can be read or not. */
export function namedBy(lease: StoredLease | RejectedLease): readonly Prefix[] {
  return lease.subnets ?? lease.named ?? [];
}

/** Who has a lease, in words: `h1 (192.0.2.1)`. */
export function holderText({ cluster }: Snapshot, lease: StoredLease): string {
  const holder = cluster.nodes.holderOf(lease);
  const { publicIp, publicIpv6 } = lease.attributes;
  const address = publicIp ?? publicIpv6;
  if (holder !== undefined) return `${holder.hostName} (${address ?? 'no address'})`;
  return address === undefined ? 'nobody' : `${address}, a host without a node record (flanneld's)`;
}

/** Whom a reservation is for, in words: `db1`, `192.0.2.7`, `nobody`. */
export function reservedFor({ cluster }: Snapshot, { subnets, attributes }: StoredLease): string {
  const named = cluster.reservations.get(leaseName(subnets))?.host;
  return named ?? String(attributes.publicIp ?? attributes.publicIpv6 ?? 'nobody');
}
