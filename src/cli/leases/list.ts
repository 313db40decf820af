import { Command } from 'commander';
import { isCode } from '../../errors.ts';
import { readSnapshot, reservedFor, type Snapshot } from '../../lease/administration/snapshot.ts';
import { formatLeaseValue } from '../../lease/lease-record.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import { printable } from '../../printable.ts';
import type { LeaseId, Store } from '../../store/store.ts';
import { print, printJson, withEtcdFlags, withStore } from '../context.ts';
import { duration, table } from '../format.ts';

export function listCommand(): Command {
  const command = new Command('list')
    .description('list every lease and reservation in etcd, by address')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
HOST and VERSION are known of hosts that run corduroyd.

Examples:
  corduroy leases list
  corduroy leases list --etcd-endpoints=http://10.0.0.1:2379 --json
`,
    )
    .action(async (settings: { json?: true }) => {
      const listing = await withStore(command, readListing);
      if (settings.json) printJson({ schema: 1, ...listing });
      else print(formatListing(listing));
    });
  return withEtcdFlags(command);
}

/** etcd tells the time left one lease at a time: a few at once, not thousands. */
const BATCH = 32;

async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += BATCH) {
    results.push(...(await Promise.all(items.slice(start, start + BATCH).map(work))));
  }
  return results;
}

export interface Listing {
  readonly leases: readonly LeaseLine[];
  readonly malformed: readonly { readonly key: string; readonly reason: string }[];
}

export interface LeaseLine {
  readonly subnets: readonly string[];
  /** 0.0.0.0, as in etcd: of a reservation that is nobody's, or of a host whose address is not known yet. */
  readonly publicIp: string;
  readonly backend: string;
  /** Seconds; absent for a reservation, which never expires. */
  readonly expiresIn?: number;
  /** Absent for a lease: a host name, node id or address, or `nobody`. */
  readonly reservedFor?: string;
  /** Of the node record beside it; absent: a flanneld's, or nobody's. */
  readonly host?: { readonly name: string; readonly id: string; readonly version: string };
  readonly value: string;
}

export async function readListing(store: Store, prefix: string): Promise<Listing> {
  const snapshot = await readSnapshot(store, prefix);
  const { leases } = snapshot.cluster;
  const malformed = [...leases.rejected(), ...snapshot.cluster.rejected()];
  return {
    leases: await inBatches(leases.leases().sort(byAddress), (lease) => leaseLine(store, snapshot, lease)),
    malformed: malformed.map(({ entry, reason }) => ({ key: printable(entry.key), reason })),
  };
}

function byAddress(one: StoredLease, other: StoredLease): number {
  const [first] = one.subnets;
  const [second] = other.subnets;
  if (first === undefined || second === undefined) return 0; // No key names no subnet.
  if (first.family !== second.family) return first.family - second.family;
  if (!first.address.equals(second.address)) return first.address.value < second.address.value ? -1 : 1;
  return first.length - second.length || one.subnets.length - other.subnets.length;
}

async function leaseLine(store: Store, snapshot: Snapshot, lease: StoredLease): Promise<LeaseLine> {
  const { subnets, attributes, entry } = lease;
  const node = snapshot.cluster.nodes.holderOf(lease);
  return {
    subnets: subnets.map(String),
    publicIp: String(attributes.publicIp ?? attributes.publicIpv6 ?? '0.0.0.0'),
    backend: attributes.backendType ?? 'udp',
    ...(entry.leaseId === undefined
      ? { reservedFor: reservedFor(snapshot, lease) }
      : { expiresIn: await secondsLeft(store, entry.leaseId) }),
    ...(node && { host: { name: node.hostName, id: node.nodeId, version: node.version } }),
    value: formatLeaseValue(attributes),
  };
}

async function secondsLeft(store: Store, id: LeaseId): Promise<number> {
  try {
    return (await store.leaseInfo(id)).ttl;
  } catch (error) {
    if (isCode(error, 'lease-not-found')) return 0; // It has ended since the list was read.
    throw error;
  }
}

const HEADINGS = ['SUBNET', 'HOST', 'PUBLIC IP', 'BACKEND', 'EXPIRES', 'VERSION'];

export function formatListing({ leases, malformed }: Listing): string {
  const rows = leases.map((line) => {
    const isTaken = line.publicIp !== '0.0.0.0';
    return [
      line.subnets.join(' '),
      line.host?.name ?? '-',
      isTaken ? line.publicIp : '-',
      isTaken ? printable(line.backend, 20) : '-',
      expiryOf(line),
      line.host?.version ?? '-',
    ];
  });
  return [
    leases.length === 0 ? 'no leases' : table([HEADINGS, ...rows]),
    ...malformed.map(({ key, reason }) => `malformed: ${key}: ${reason}`),
  ].join('\n');
}

function expiryOf({ expiresIn, reservedFor: beneficiary }: LeaseLine): string {
  if (expiresIn !== undefined) return `in ${duration(expiresIn)}`;
  return `never: reserved for ${beneficiary}`;
}
