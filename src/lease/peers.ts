import type { SubnetRange } from '../config/network-config.ts';
import type { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import type { LeaseTable, RejectedLease, StoredLease } from './lease-table.ts';

/** This host, as far as other hosts' leases can collide with it. */
export interface Self {
  readonly key: string;
  readonly subnets: readonly Prefix[];
  readonly publicIps: readonly Ip[];
}

/**
 * The leases packets may be sent to. A lease is another host's word and is not trusted: one that lies outside the
 * network, overlaps this host's subnet, or names an address no host can have, is rejected with the reason.
 */
export function selectPeers(
  table: LeaseTable,
  ranges: readonly SubnetRange[],
  self: Self,
): { peers: StoredLease[]; rejected: RejectedLease[] } {
  const peers: StoredLease[] = [];
  const rejected = table.rejected();
  const holders = new Map<string, string>();
  // Of two leases that name the same subnet, the older one counts, on every host alike.
  const oldestFirst = table
    .leases()
    .sort(({ entry: one }, { entry: other }) =>
      one.createRevision === other.createRevision
        ? one.key.localeCompare(other.key, 'en')
        : Number(one.createRevision - other.createRevision),
    );
  const inUse = (subnet: Prefix) => ranges.some(({ network }) => network.family === subnet.family);
  for (const stored of oldestFirst) {
    if (stored.entry.key === self.key) continue;
    // Of a dual-stack lease in a network of one family, the half that is in use.
    const lease = stored.subnets.every(inUse) ? stored : { ...stored, subnets: stored.subnets.filter(inUse) };
    const twice = lease.subnets.find((subnet) => holders.has(subnet.toString()));
    const reason =
      objection(lease, ranges, self) ??
      (twice && `${twice} is leased under ${holders.get(twice.toString())} already, which is older`);
    if (reason === undefined) {
      peers.push(lease);
      for (const subnet of lease.subnets) holders.set(subnet.toString(), lease.entry.key);
    } else {
      rejected.push({ entry: lease.entry, reason });
    }
  }
  return { peers, rejected };
}

function objection(
  { subnets, attributes }: StoredLease,
  ranges: readonly SubnetRange[],
  self: Self,
): string | undefined {
  if (subnets.length === 0) return 'the network has no subnets of this family';
  const outside = subnets.find((subnet) => !ranges.some(({ network }) => network.covers(subnet)));
  if (outside !== undefined) return `${outside} lies outside the network`;
  const mine = self.subnets.find((own) => subnets.some((subnet) => subnet.overlaps(own)));
  if (mine !== undefined) return `it overlaps ${mine}, this host's own subnet`;
  for (const ip of [attributes.publicIp, attributes.publicIpv6]) {
    if (ip === undefined) continue;
    if (self.publicIps.some((own) => own.equals(ip))) return `its public address ${ip} is this host's own`;
    if (!isHostAddress(ip)) return `its public address ${ip} is none a host can have`;
    // Tunnel packets to such an address would be routed into the tunnel again.
    if (ranges.some(({ network }) => network.contains(ip)))
      return `its public address ${ip} lies inside the network`;
  }
  return undefined;
}

/** Not: unspecified, "this network", loopback, multicast, reserved, broadcast. */
const NO_HOST = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/128', '::1/128', 'ff00::/8'].map(
  Prefix.parse,
);

function isHostAddress(ip: Ip): boolean {
  return !NO_HOST.some((prefix) => prefix.contains(ip));
}
