import { messageOf } from '../errors.ts';
import { printable } from '../printable.ts';
import type { Change, Condition, Entry } from '../store/store.ts';
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
  readonly #entries = new Map<string, Entry>();
  readonly #rejected = new Map<string, { readonly entry: Entry; readonly reason: string }>();
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
    this.#rejected.clear();
    this.#entries.clear();
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

  /** A key as it stands there, whether it can be read or not. */
  entry(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Every key but the questions of the moment. */
  entries(): Entry[] {
    return [...this.#entries.values()].filter(({ key }) => !this.challenges.has(key));
  }

  /** Demands of a key that it is as it stands there, present or not. */
  asSeen(key: string): Condition {
    const entry = this.#entries.get(key);
    return entry === undefined
      ? { key, is: 'absent' }
      : { key, is: 'unchanged', modRevision: entry.modRevision };
  }

  /** Side keys that cannot be read; leases have their own. */
  rejected(): { readonly entry: Entry; readonly reason: string }[] {
    return [...this.nodes.rejected(), ...this.#rejected.values()];
  }

  #put(entry: Entry): void {
    const { key, value } = entry;
    this.#entries.set(key, entry);
    if (key.startsWith(this.#folders.challenges)) this.challenges.set(key, entry);
    const name = this.#reservationName(key);
    if (name === undefined) return;
    this.reservations.delete(name);
    this.#rejected.delete(key);
    try {
      this.reservations.set(name, parseReservation(value));
    } catch (error) {
      this.#rejected.set(key, { entry, reason: printable(messageOf(error)) });
    }
  }

  #delete(key: string): void {
    this.#entries.delete(key);
    this.challenges.delete(key);
    this.#rejected.delete(key);
    const name = this.#reservationName(key);
    if (name !== undefined) this.reservations.delete(name);
  }

  #reservationName(key: string): string | undefined {
    const { reservations } = this.#folders;
    return key.startsWith(reservations) ? key.slice(reservations.length) : undefined;
  }
}
