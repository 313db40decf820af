import type { StoredLease } from '../lease/lease-table.ts';

/**
 * Computes something of each lease once: a change of one lease among thousands must not cost a look at all of them.
 * A stored lease never changes; what is written anew is another one.
 */
export function perLease<T>(compute: (lease: StoredLease) => T): (lease: StoredLease) => T {
  const known = new WeakMap<StoredLease, { readonly result: T }>();
  return (lease) => {
    let entry = known.get(lease);
    if (entry === undefined) {
      entry = { result: compute(lease) };
      known.set(lease, entry);
    }
    return entry.result;
  };
}
