import { messageOf } from '../errors.ts';
import type { Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import { printable } from '../printable.ts';
import type { Change, Entry } from '../store/store.ts';
import {
  folderOf,
  type LeaseFolders,
  type LeaseRecord,
  leaseFolders,
  leaseName,
  parseLeaseName,
  parseLeaseValue,
} from './lease-record.ts';

/** A lease with the store's own facts about its key. */
export interface StoredLease extends LeaseRecord {
  readonly entry: Entry;
}

/** A key that is not used, and why: one sentence without the key. */
export interface RejectedLease {
  readonly entry: Entry;
  /** What the key names, where only the value or the spelling is malformed. */
  readonly subnets?: never;
  readonly named?: readonly Prefix[];
  readonly reason: string;
}

/** Whether it names no host: a reservation that keeps a subnet free, or is for a host whose address is not known yet. */
export function isNobodys({ attributes }: StoredLease): boolean {
  return attributes.publicIp === undefined && attributes.publicIpv6 === undefined;
}

/** Orders leases by when their keys were made; those of one transaction by name, on every host alike. */
export function byAge({ entry: one }: StoredLease, { entry: other }: StoredLease): number {
  if (one.createRevision !== other.createRevision) return one.createRevision < other.createRevision ? -1 : 1;
  return one.key === other.key ? 0 : one.key < other.key ? -1 : 1;
}

/** Every lease, of IPv6 alone too, parsed once a change. What does not parse is kept with the reason. */
export class LeaseTable {
  readonly #folders: LeaseFolders;
  /**
   * About in the order in which the keys were made: a snapshot is put in that order, a new key comes last, and one that
   * is written again keeps its place. So that sorting by age, after every change, finds everything in place already.
   */
  readonly #leases = new Map<string, StoredLease | RejectedLease>();
  /** How many well-formed leases name a subnet, by its text. */
  readonly #claims = new Map<string, number>();
  /** The subnets that more than one well-formed lease names, as texts. */
  readonly #contested = new Set<string>();

  constructor(prefix: string, entries: readonly Entry[] = []) {
    this.#folders = leaseFolders(prefix);
    this.replace(entries);
  }

  replace(entries: readonly Entry[]): void {
    this.#leases.clear();
    this.#claims.clear();
    this.#contested.clear();
    const oldestFirst = entries.toSorted((one, other) => Number(one.createRevision - other.createRevision));
    for (const entry of oldestFirst) this.#put(entry);
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry);
      else this.#delete(change.key);
    }
  }

  /** Every key, whether it can be read or not. */
  entries(): Entry[] {
    return [...this.#leases.values()].map(({ entry }) => entry);
  }

  /** The well-formed leases. */
  leases(): StoredLease[] {
    return [...this.#leases.values()].filter((lease): lease is StoredLease => lease.subnets !== undefined);
  }

  rejected(): RejectedLease[] {
    return [...this.#leases.values()].filter((lease): lease is RejectedLease => 'reason' in lease);
  }

  /** The subnets of malformed leases whose keys are well-formed. */
  namedByRejected(): Prefix[] {
    return this.rejected().flatMap(({ named }) => named ?? []);
  }

  get(key: string): StoredLease | RejectedLease | undefined {
    return this.#leases.get(key);
  }

  /** Whether another lease names the same subnet: as a lease of one family and one of both do, at the worst. */
  isContested(subnet: Prefix): boolean {
    return this.#contested.size > 0 && this.#contested.has(subnet.toString());
  }

  /** Of the leases that name this subnet, those whose keys were made before that of `lease`. */
  elders(lease: StoredLease, subnet: Prefix): StoredLease[] {
    if (!this.isContested(subnet)) return [];
    return this.leases().filter(
      (other) => other.subnets.some((one) => one.equals(subnet)) && byAge(other, lease) < 0,
    );
  }

  #put(entry: Entry): void {
    const { key } = entry;
    const family = folderOf(key, this.#folders);
    if (family === undefined) return;
    const lease = parseEntry(entry, key.slice(this.#folders[family].length), family);
    this.#claim(this.#leases.get(key), -1);
    this.#leases.set(key, lease);
    this.#claim(lease, 1);
  }

  #delete(key: string): void {
    this.#claim(this.#leases.get(key), -1);
    this.#leases.delete(key);
  }

  #claim(lease: StoredLease | RejectedLease | undefined, step: 1 | -1): void {
    for (const subnet of lease?.subnets ?? []) {
      const text = subnet.toString();
      const claims = (this.#claims.get(text) ?? 0) + step;
      if (claims > 0) this.#claims.set(text, claims);
      else this.#claims.delete(text);
      if (claims > 1) this.#contested.add(text);
      else this.#contested.delete(text);
    }
  }
}

function parseEntry(entry: Entry, name: string, family: Family): StoredLease | RejectedLease {
  let subnets: Prefix[];
  try {
    subnets = parseLeaseName(name, family);
  } catch (error) {
    return { entry, reason: printable(messageOf(error)) };
  }
  // One subnet, one key: nothing could keep two spellings from being two hosts'.
  const usual = leaseName(subnets);
  if (name !== usual) return { entry, named: subnets, reason: `the key of this subnet is spelt ${usual}` };
  try {
    return { entry, subnets, attributes: parseLeaseValue(entry.value, entry.leaseId === undefined) };
  } catch (error) {
    return { entry, named: subnets, reason: printable(messageOf(error)) };
  }
}
