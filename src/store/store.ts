/**
 * What Corduroy needs of its store: ordered keys, compare-and-swap, leases that expire, and a watch that is never
 * silently dead. `etcd/` is the real one; `memory.ts` serves tests. Both pass the same contract suite.
 *
 * Every call rejects with a CorduroyError: `store-unavailable` (retryable: no answer in time, no quorum),
 * `store-denied` (credentials or permissions), `store-protocol`, or `lease-not-found` where a lease is named.
 */
export interface Store {
  /** All entries whose key starts with the prefix, in key order, as of one revision. */
  list(prefix: string): Promise<Listing>;
  get(key: string): Promise<Entry | undefined>;
  /**
   * Carries out all operations if all conditions hold, else none; atomically. After `store-unavailable` it is unknown
   * whether they were carried out: read before deciding anew.
   * At most 128 operations (etcd's default limit). No key twice in one transaction.
   */
  transaction(conditions: readonly Condition[], operations: readonly Operation[]): Promise<TransactionResult>;
  /** @param ttl seconds, at least 1. The store may grant more, never less. */
  grantLease(ttl: number): Promise<GrantedLease>;
  /** Renews once. Resolves to the new time to live in seconds. */
  keepLease(id: LeaseId): Promise<number>;
  /** Time to live of a lease, without renewing it. */
  leaseInfo(id: LeaseId): Promise<LeaseInfo>;
  /** Ends the lease and deletes its keys. A lease that is gone already is no error. */
  revokeLease(id: LeaseId): Promise<void>;
  /**
   * Follows every key under the prefix. The first event is a snapshot (or `interrupted`, while none can be had yet);
   * deltas follow in revision order, none missing and none twice. After any fault (connection lost, compaction, token expired) it yields `interrupted` once, tries
   * again with jittered backoff, and then yields a new snapshot: consumers compare it with what they have.
   * Ends without an error when the signal aborts; never ends otherwise.
   */
  watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent>;
  /**
   * This host's address has changed: connections that began with the old one are dead, and nobody will say so for long.
   * Makes them anew; every watch yields a snapshot. Calls under way fail with
   * `store-unavailable`.
   */
  reconnect(): void;
  /** Frees connections and timers. Watches must have been aborted before. */
  close(): Promise<void>;
}

/** A store-wide, ever-growing count of changes. */
export type Revision = bigint;

/** A store's lease, opaque (etcd: a signed 64-bit integer in decimal). */
export type LeaseId = string & { readonly __brand: 'LeaseId' };

export interface Entry {
  readonly key: string;
  /** Decoded as UTF-8; bytes that are none become U+FFFD. */
  readonly value: string;
  readonly createRevision: Revision;
  /** Revision of the last write of this key: the fence of every compare-and-swap. */
  readonly modRevision: Revision;
  /** Absent: the key never expires. */
  readonly leaseId: LeaseId | undefined;
}

export interface Listing {
  readonly revision: Revision;
  readonly entries: readonly Entry[];
}

export type Condition =
  | { readonly key: string; readonly is: 'absent' }
  | { readonly key: string; readonly is: 'unchanged'; readonly modRevision: Revision };

export type Operation =
  | { readonly do: 'put'; readonly key: string; readonly value: string; readonly leaseId?: LeaseId }
  | { readonly do: 'delete'; readonly key: string };

export interface TransactionResult {
  readonly succeeded: boolean;
  /** The store's revision after it; if it succeeded and wrote, the modRevision of what it put. */
  readonly revision: Revision;
}

export interface GrantedLease {
  readonly id: LeaseId;
  /** Seconds. */
  readonly ttl: number;
}

export interface LeaseInfo {
  /** Seconds left. */
  readonly ttl: number;
  /** Seconds it was granted for. */
  readonly grantedTtl: number;
}

export type Change =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: Revision };

export type WatchEvent =
  | { readonly kind: 'snapshot'; readonly revision: Revision; readonly entries: readonly Entry[] }
  | { readonly kind: 'delta'; readonly revision: Revision; readonly changes: readonly Change[] }
  | { readonly kind: 'interrupted'; readonly error: Error };
