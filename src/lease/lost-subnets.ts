import type { Prefix } from '../net/prefix.ts';
import type { Cluster } from './cluster.ts';
import { isOwn, leaseName, type PublicAddresses } from './lease-record.ts';
import type { StoredLease } from './lease-table.ts';
import type { NodeId } from './node-record.ts';
import { isFor } from './reservation.ts';

/** Whom a lease may be of. */
interface Identity {
  readonly nodeId: NodeId;
  readonly hostName: string;
  readonly attributes: PublicAddresses;
}

/**
 * The subnets of a host's lease that an older lease of somebody else names as well. Two keys can do that where leases have
 * two subnets: they differ in the other one, and creation, which demands that the key is absent, does not see it. The older
 * one counts, on every host alike (see selectPeers), so that the host of the younger one has to give the subnet up.
 */
export function lostSubnets(
  lease: StoredLease,
  cluster: Cluster,
  mine: Identity,
): { readonly subnet: Prefix; readonly elder: StoredLease }[] {
  return lease.subnets.flatMap((subnet) => {
    const elder = cluster.leases.elders(lease, subnet).find((other) => !isOf(other, cluster, mine));
    return elder === undefined ? [] : [{ subnet, elder }];
  });
}

function isOf(
  lease: StoredLease,
  { nodes, reservations }: Cluster,
  { nodeId, hostName, attributes }: Identity,
): boolean {
  const holder = nodes.holderOf(lease);
  if (holder !== undefined) return holder.nodeId === nodeId;
  const reservation = lease.entry.leaseId === undefined && reservations.get(leaseName(lease.subnets));
  return reservation ? isFor(reservation, nodeId, hostName) : isOwn(lease.attributes, attributes);
}
