import { Command } from 'commander';
import { isCode } from '../errors.ts';
import { formatLeaseValue, subnetsFolder } from '../lease/lease-record.ts';
import { LeaseTable, type StoredLease } from '../lease/lease-table.ts';
import { printable } from '../printable.ts';
import type { LeaseId, Store } from '../store/store.ts';
import { print, printJson, withEtcdFlags, withStore } from './context.ts';
import { duration, table } from './format.ts';

export function leasesCommand(): Command {
  const command = new Command('leases')
    .description('the leases in etcd')
    .addHelpText('after', '\nExample:\n  corduroy leases list');
  command.addCommand(listCommand());
  return command;
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list every lease and reservation in etcd')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
Examples:
  corduroy leases list
  corduroy leases list --etcd-endpoints=http://10.0.0.1:2379 --json
`,
    )
    .action(async (settings: { json?: true }) => {
      const listing = await withStore(command, readLeases);
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

interface Listing {
  readonly leases: readonly LeaseLine[];
  readonly malformed: readonly { readonly key: string; readonly reason: string }[];
}

interface LeaseLine {
  readonly subnets: readonly string[];
  readonly publicIp: string;
  readonly backend: string;
  /** Seconds; absent for a reservation, which never expires. */
  readonly expiresIn?: number;
  readonly value: string;
}

async function readLeases(store: Store, prefix: string): Promise<Listing> {
  const { entries } = await store.list(subnetsFolder(prefix));
  const known = new LeaseTable(prefix, entries);
  return {
    leases: await inBatches(known.leases(), (lease) => leaseLine(store, lease)),
    malformed: known.rejected().map(({ entry, reason }) => ({ key: printable(entry.key), reason })),
  };
}

async function leaseLine(store: Store, { subnets, attributes, entry }: StoredLease): Promise<LeaseLine> {
  return {
    subnets: subnets.map(String),
    publicIp: String(attributes.publicIp ?? attributes.publicIpv6),
    backend: attributes.backendType ?? 'udp',
    ...(entry.leaseId && { expiresIn: await secondsLeft(store, entry.leaseId) }),
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

function formatListing({ leases, malformed }: Listing): string {
  const rows = leases.map(({ subnets, publicIp, backend, expiresIn }) => [
    subnets.join(' '),
    publicIp,
    backend,
    expiresIn === undefined ? 'never (reservation)' : `in ${duration(expiresIn)}`,
  ]);
  return [
    leases.length === 0 ? 'no leases' : table([['SUBNET', 'PUBLIC IP', 'BACKEND', 'EXPIRES'], ...rows]),
    ...malformed.map(({ key, reason }) => `malformed: ${key}: ${reason}`),
  ].join('\n');
}
