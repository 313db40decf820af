import type { RejectedLease } from '../lease/lease-table.ts';
import type { Log } from '../observe/log.ts';
import { printable } from '../printable.ts';

/** The keys in etcd that are not used: each is named once, and again when the reason changes. */
export class RejectedKeys {
  readonly #log: Log;
  #current: readonly RejectedLease[] = [];
  #said: ReadonlyMap<string, string> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  get current(): readonly RejectedLease[] {
    return this.#current;
  }

  set(rejected: readonly RejectedLease[]): void {
    this.#current = rejected;
    const reasons = new Map(rejected.map(({ entry, reason }) => [entry.key, reason]));
    for (const [key, reason] of reasons) {
      if (this.#said.get(key) !== reason) this.#log.warn(`ignoring ${printable(key)} in etcd: ${reason}`);
    }
    this.#said = reasons;
  }
}
