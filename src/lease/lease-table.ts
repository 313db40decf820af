import { messageOf } from '../errors.ts';
import type { Prefix } from '../net/prefix.ts';
import { printable } from '../printable.ts';
import type { Change, Entry } from '../store/store.ts';
import { type LeaseRecord, parseLeaseName, parseLeaseValue, subnetsFolder } from './lease-record.ts';

/** A lease with the store's own facts about its key. */
export interface StoredLease extends LeaseRecord {
  readonly entry: Entry;
}

/** A key that is not used, and why: one sentence without the key. */
export interface RejectedLease {
  readonly entry: Entry;
  /** What the key names, where only the value is malformed. */
  readonly subnets?: never;
  readonly named?: readonly Prefix[];
  readonly reason: string;
}

/** Everything under `{prefix}/subnets/`, parsed once a change. What does not parse is kept with the reason. */
export class LeaseTable {
  readonly #folder: string;
  readonly #leases = new Map<string, StoredLease | RejectedLease>();

  constructor(prefix: string, entries: readonly Entry[] = []) {
    this.#folder = subnetsFolder(prefix);
    this.replace(entries);
  }

  replace(entries: readonly Entry[]): void {
    this.#leases.clear();
    for (const entry of entries) this.#put(entry);
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry);
      else this.#leases.delete(change.key);
    }
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

  #put(entry: Entry): void {
    if (!entry.key.startsWith(this.#folder)) return;
    this.#leases.set(entry.key, parseEntry(entry, this.#folder));
  }
}

function parseEntry(entry: Entry, folder: string): StoredLease | RejectedLease {
  let subnets: Prefix[];
  try {
    subnets = parseLeaseName(entry.key.slice(folder.length));
  } catch (error) {
    return { entry, reason: printable(messageOf(error)) };
  }
  try {
    return { entry, subnets, attributes: parseLeaseValue(entry.value) };
  } catch (error) {
    return { entry, named: subnets, reason: printable(messageOf(error)) };
  }
}
