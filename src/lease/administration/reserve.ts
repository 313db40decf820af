import type { SubnetRange } from '../../config/network-config.ts';
import { networkConfigKey } from '../../config/network-config.ts';
import { CorduroyError } from '../../errors.ts';
import { isHostAddress } from '../../net/host-address.ts';
import type { Ip } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import type { Operation, Store } from '../../store/store.ts';
import { formatLeaseValue, leaseKey, leaseName, type PublicAddresses } from '../lease-record.ts';
import type { StoredLease } from '../lease-table.ts';
import type { StoredNode } from '../node-table.ts';
import { formatReservation, isFor } from '../reservation.ts';
import { carryOut, nothingToDo, type Plan, refused } from './plan.ts';
import { checkFit, configOf } from './requested-subnets.ts';
import {
  holderText,
  namedBy,
  overlapping,
  readSnapshot,
  reservedFor,
  type Snapshot,
  sideKey,
} from './snapshot.ts';

/** Whom a subnet is to be reserved for; `undefined`: whoever holds it, or nobody. */
export type Beneficiary =
  /** A host name or node id. */
  { readonly host: string } | { readonly publicIp: Ip } | undefined;

/**
 * Reserves a subnet: keeps it free, for nobody or a host, or pins a lease to whoever holds it.
 * @throws CorduroyError `usage`, `network-config`, `conflict`, or the store's
 */
export async function reserve(
  store: Store,
  prefix: string,
  subnets: readonly Prefix[],
  beneficiary: Beneficiary,
): Promise<Plan> {
  return await carryOut(store, decideReserve(await readSnapshot(store, prefix), subnets, beneficiary));
}

function decideReserve(snapshot: Snapshot, subnets: readonly Prefix[], beneficiary: Beneficiary): Plan {
  const config = configOf(snapshot);
  checkFit(subnets, config);
  if (beneficiary !== undefined && 'publicIp' in beneficiary)
    checkAddress(beneficiary.publicIp, config.ranges);
  const text = subnets.join(' and ');
  const [other] = overlapping(snapshot, subnets);
  if (other !== undefined) {
    const who = other.subnets === undefined ? `malformed: ${other.reason}` : holderText(snapshot, other);
    throw refused(
      `${text} overlaps ${namedBy(other).join(' and ')}, which is taken (${printable(other.entry.key)}, ${who})`,
    );
  }
  const existing = snapshot.cluster.leases.get(leaseKey(snapshot.prefix, subnets));
  if (existing === undefined) return create(snapshot, subnets, beneficiary);
  if (existing.subnets === undefined) {
    throw refused(
      `${text} is taken by a key that cannot be read, ${existing.entry.key}: ${existing.reason}. ` +
        `Delete it with: corduroy leases revoke ${subnets.join(' ')} --force`,
    );
  }
  return existing.entry.leaseId === undefined
    ? reserveAgain(snapshot, existing, beneficiary)
    : pin(snapshot, existing, beneficiary);
}

function create(snapshot: Snapshot, subnets: readonly Prefix[], beneficiary: Beneficiary): Plan {
  const key = leaseKey(snapshot.prefix, subnets);
  const value = formatLeaseValue(writtenAddresses(beneficiary));
  return {
    action: 'reserved',
    key,
    conditions: conditionsOn(snapshot, key, subnets),
    operations: [{ do: 'put', key, value }, sideOperation(snapshot, subnets, beneficiary)],
    says: `reserved ${subnets.join(' and ')} for ${nameOf(beneficiary)}`,
    notes: notesOn(snapshot, beneficiary, key),
  };
}

/** The lease of a host, whatever host that is, stays its own for ever: same value, no etcd lease. */
function pin(snapshot: Snapshot, lease: StoredLease, beneficiary: Beneficiary): Plan {
  const { entry, subnets } = lease;
  const holder = snapshot.cluster.nodes.holderOf(lease);
  const who = holderText(snapshot, lease);
  if (!isBy(lease, holder, beneficiary)) {
    throw refused(
      `${subnets.join(' and ')} is leased by ${who}, not by ${nameOf(beneficiary)}. If that host is to have another subnet, ` +
        'give this one back there with corduroy down --release; if it is gone, take it away with ' +
        `corduroy leases revoke ${subnets.join(' ')}; then reserve it`,
    );
  }
  const note = `flanneld gives the key a time to live again when it renews: reserve it anew once ${who.split(',')[0]} runs corduroyd`;
  return {
    action: 'pinned',
    key: entry.key,
    conditions: conditionsOn(snapshot, entry.key, subnets),
    operations: [
      { do: 'put', key: entry.key, value: entry.value },
      sideOperation(snapshot, subnets, beneficiary),
    ],
    says: `reserved ${subnets.join(' and ')} for ${who}, who goes on using it`,
    notes: holder === undefined ? [note] : [],
  };
}

/** A reservation that is nobody's is given to a host; else it has to be that host's already. */
function reserveAgain(snapshot: Snapshot, lease: StoredLease, beneficiary: Beneficiary): Plan {
  const { entry, subnets, attributes } = lease;
  const text = subnets.join(' and ');
  const named = snapshot.cluster.reservations.get(leaseName(subnets))?.host;
  const already = nothingToDo(entry.key, `${text} is reserved already, for ${reservedFor(snapshot, lease)}`);
  if (beneficiary === undefined) return already;
  const address = attributes.publicIp ?? attributes.publicIpv6;
  if (
    'host' in beneficiary
      ? named === beneficiary.host
      : named === undefined && isBy(lease, undefined, beneficiary)
  )
    return already;
  const isFree = named === undefined && address === undefined;
  // By address it is this host's, which it will now be whatever its address.
  const isIts =
    named === undefined &&
    'host' in beneficiary &&
    address !== undefined &&
    (isBy(lease, snapshot.cluster.nodes.holderOf(lease), beneficiary) ||
      address.equals(addressOf(snapshot, beneficiary)));
  if (!isFree && !isIts) {
    throw refused(
      `${text} is reserved for ${reservedFor(snapshot, lease)}, not for ${nameOf(beneficiary)}. End that first, with: ` +
        `corduroy leases release ${subnets.join(' ')}`,
    );
  }
  const value = formatLeaseValue({ ...attributes, ...(address ? {} : writtenAddresses(beneficiary)) });
  return {
    action: 'reserved',
    key: entry.key,
    conditions: conditionsOn(snapshot, entry.key, subnets),
    operations: [{ do: 'put', key: entry.key, value }, sideOperation(snapshot, subnets, beneficiary)],
    says: `reserved ${text} for ${nameOf(beneficiary)}; it was reserved for ${reservedFor(snapshot, lease)}`,
    notes: notesOn(snapshot, beneficiary, entry.key),
  };
}

/** The subnet was chosen by the network config, and judged by its key and by the one that says whom it is for. */
function conditionsOn(snapshot: Snapshot, key: string, subnets: readonly Prefix[]): Plan['conditions'] {
  return [key, sideKey(snapshot, subnets), networkConfigKey(snapshot.prefix)].map((one) =>
    snapshot.cluster.asSeen(one),
  );
}

/** Also deletes a side key that an earlier reservation has left behind: it would give this one to its host. */
function sideOperation(snapshot: Snapshot, subnets: readonly Prefix[], beneficiary: Beneficiary): Operation {
  const key = sideKey(snapshot, subnets);
  return beneficiary !== undefined && 'host' in beneficiary
    ? { do: 'put', key, value: formatReservation(beneficiary) }
    : { do: 'delete', key };
}

/** Not a named host's: others would send to a subnet that it does not use yet. It writes its own when it takes it. */
function writtenAddresses(beneficiary: Beneficiary): PublicAddresses {
  const ip = beneficiary !== undefined && 'publicIp' in beneficiary ? beneficiary.publicIp : undefined;
  return {
    publicIp: ip?.family === 4 ? ip : undefined,
    publicIpv6: ip?.family === 6 ? ip : undefined,
  };
}

/** Whether a key is already the beneficiary's: by its holder's names, or by its address. */
function isBy(
  { attributes }: StoredLease,
  holder: StoredNode | undefined,
  beneficiary: Beneficiary,
): boolean {
  if (beneficiary === undefined) return true;
  if ('publicIp' in beneficiary)
    return beneficiary.publicIp.equals(attributes.publicIp ?? attributes.publicIpv6);
  return holder !== undefined && isFor(beneficiary, holder.nodeId, holder.hostName);
}

/** What flannel would know the beneficiary by; `undefined` while it is not known, or machines of one name differ in it. */
function addressOf(snapshot: Snapshot, beneficiary: Beneficiary): Ip | undefined {
  if (beneficiary === undefined) return undefined;
  if ('publicIp' in beneficiary) return beneficiary.publicIp;
  const [first, ...others] = nodesOf(snapshot, beneficiary).map(
    ({ publicIp, publicIpv6 }) => publicIp ?? publicIpv6,
  );
  return others.every((one) => one?.equals(first)) ? first : undefined;
}

function nodesOf({ cluster }: Snapshot, reservation: { readonly host: string }): StoredNode[] {
  return cluster.nodes.nodes().filter(({ nodeId, hostName }) => isFor(reservation, nodeId, hostName));
}

function nameOf(beneficiary: Beneficiary): string {
  if (beneficiary === undefined) return 'nobody';
  return 'host' in beneficiary ? beneficiary.host : String(beneficiary.publicIp);
}

function notesOn(snapshot: Snapshot, beneficiary: Beneficiary, key: string): string[] {
  if (beneficiary === undefined || 'publicIp' in beneficiary) return [];
  const { host } = beneficiary;
  const nodes = nodesOf(snapshot, beneficiary);
  if (nodes.length === 0)
    return [`no host that is known now is ${host}: one that comes and is, gets this subnet`];
  if (nodes.length > 1) {
    const ids = nodes.map(({ nodeId }) => nodeId).join(', ');
    return [
      `${nodes.length} machines are called ${host}: whichever comes first gets it. Their node ids: ${ids}`,
    ];
  }
  return nodes
    .filter(({ lease }) => !key.endsWith(`/${lease}`))
    .map(
      ({ lease }) =>
        `${host} keeps the lease it has, ${lease.replaceAll('-', '/').replace('&', ' and ')}, and takes this subnet when it has none: corduroy down --release there`,
    );
}

/** @throws CorduroyError `usage` */
function checkAddress(ip: Ip, ranges: readonly SubnetRange[]): void {
  const inside = ranges.find(({ network }) => network.contains(ip));
  const fault = !isHostAddress(ip)
    ? 'is none a host can have'
    : inside && `lies inside the network ${inside.network}`;
  if (fault === undefined && ip.family === ranges[0]?.network.family) return;
  throw new CorduroyError(
    'usage',
    `--public-ip ${ip} ${fault ?? `is not what hosts of this network are known by, an address of IPv${ranges[0]?.network.family}`}: it is the address other hosts send to, such as ${ranges[0]?.network.family === 6 ? '2001:db8::7' : '192.0.2.7'}`,
  );
}
