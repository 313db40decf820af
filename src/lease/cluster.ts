import { messageOf } from '../errors.ts';
import { printable } from '../printable.ts';
import type { Change, Entry } from '../store/store.ts';
import { challengesFolder } from './challenge.ts';
import { LeaseTable } from './lease-table.ts';
import { NodeTable } from './node-table.ts';
import { parseReservation, type Reservation, reservationsFolder } from './reservation.ts';

/** Everything under the prefix that leases depend on, as of one revision. */
export class Cluster {
  readonly leases: LeaseTable;
  readonly nodes: NodeTable;
  /** By the last part of the lease's key. */
  readonly reservations = new Map<string, Reservation>();
  /** Questions whether a node lives, by their keys. */
  readonly challenges = new Map<string, Entry>();
  /** Side keys that cannot be read, with the reason; leases have their own. */
  readonly rejected = new Map<string, string>();
  readonly #folders: { readonly reservations: string; readonly challenges: string };

  constructor(prefix: string, entries: readonly Entry[] = []) {
    this.leases = new LeaseTable(prefix);
    this.nodes = new NodeTable(prefix);
    this.#folders = { reservations: reservationsFolder(prefix), challenges: challengesFolder(prefix) };
    this.replace(entries);
  }

  replace(entries: readonly Entry[]): void {
    this.leases.replace(entries);
    this.nodes.replace(entries);
    this.reservations.clear();
    this.challenges.clear();
    this.rejected.clear();
    for (const entry of entries) this.#put(entry);
  }

  apply(changes: readonly Change[]): void {
    this.leases.apply(changes);
    this.nodes.apply(changes);
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry);
      else this.#delete(change.key);
    }
  }

  #put(entry: Entry): void {
    const { key, value } = entry;
    if (key.startsWith(this.#folders.challenges)) this.challenges.set(key, entry);
    if (!key.startsWith(this.#folders.reservations)) return;
    this.#delete(key);
    try {
      this.reservations.set(key.slice(this.#folders.reservations.length), parseReservation(value));
    } catch (error) {
      this.rejected.set(key, printable(messageOf(error)));
    }
  }

  #delete(key: string): void {
    this.challenges.delete(key);
    this.rejected.delete(key);
    this.reservations.delete(key.slice(this.#folders.reservations.length));
  }
}
