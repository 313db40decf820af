import type { SubnetRange } from '../config/network-config.ts';
import { isHostAddress } from '../net/host-address.ts';
import type { Ip } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import { byAge, isNobodys, type LeaseTable, type RejectedLease, type StoredLease } from './lease-table.ts';

/** This host, as far as other hosts' leases can collide with it. */
export interface Self {
  readonly key: string;
  readonly subnets: readonly Prefix[];
  readonly publicIps: readonly Ip[];
}

/** What is to be said of a lease by itself, whatever the others are. */
interface Verdict {
  /** What it was judged by. */
  readonly judgedBy: string;
  /** The lease, or the half of it that is in use. */
  readonly lease: StoredLease;
  /** Why nothing is sent to it; `undefined`: it is a peer, unless an older lease names the same subnet. */
  readonly objection: string | undefined;
}

/**
 * The last verdict on each lease. A change of one lease among thousands must not cost a look at all of them; a stored
 * lease never changes, what is written anew is another one.
 */
const verdicts = new WeakMap<StoredLease, Verdict>();

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
  /** Of the subnets that several leases name: which key's lease counts. */
  const holders = new Map<string, string>();
  const judgedBy = describe(ranges, self);
  // Of two leases that name the same subnet, the older one counts, on every host alike.
  for (const stored of table.leases().sort(byAge)) {
    const { key } = stored.entry;
    if (key === self.key || isNobodys(stored)) continue;
    let verdict = verdicts.get(stored);
    if (verdict?.judgedBy !== judgedBy) {
      verdict = judge(stored, ranges, self, judgedBy);
      verdicts.set(stored, verdict);
    }
    const { lease, objection } = verdict;
    const reason = objection ?? heldAlready(lease, holders);
    if (reason === undefined) {
      peers.push(lease);
      for (const subnet of lease.subnets) if (table.isContested(subnet)) holders.set(subnet.toString(), key);
    } else {
      rejected.push({ entry: lease.entry, reason });
    }
  }
  return { peers, rejected };
}

/** Everything that a verdict depends on beside the lease. */
function describe(ranges: readonly SubnetRange[], { subnets, publicIps }: Self): string {
  return [ranges.map(({ network }) => network), subnets, publicIps].join(';');
}

function judge(stored: StoredLease, ranges: readonly SubnetRange[], self: Self, judgedBy: string): Verdict {
  // Of a dual-stack lease in a network of one family, the half that is in use.
  const inUse = (subnet: Prefix) => ranges.some(({ network }) => network.family === subnet.family);
  const lease = stored.subnets.every(inUse) ? stored : { ...stored, subnets: stored.subnets.filter(inUse) };
  return { judgedBy, lease, objection: objectionTo(lease, ranges, self) };
}

function heldAlready({ subnets }: StoredLease, holders: ReadonlyMap<string, string>): string | undefined {
  if (holders.size === 0) return undefined;
  for (const subnet of subnets) {
    const holder = holders.get(subnet.toString());
    if (holder !== undefined) return `${subnet} is leased under ${holder} already, which is older`;
  }
  return undefined;
}

function objectionTo(
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
