import { CorduroyError } from '../errors.ts';
import type {
  Change,
  Condition,
  Entry,
  GrantedLease,
  LeaseId,
  LeaseInfo,
  Listing,
  Operation,
  Revision,
  Store,
  TransactionResult,
  WatchEvent,
} from './store.ts';

export interface MemoryStoreOptions {
  /** Milliseconds, never going back. Default: a clock that stands still, and moves by `advance` alone. */
  readonly clock?: () => number;
}

/** What `restore` goes back to; opaque. */
export interface MemorySnapshot {
  readonly revision: Revision;
  readonly entries: readonly Entry[];
  /** With the seconds each was granted for. */
  readonly leases: readonly (readonly [LeaseId, number])[];
}

interface Lease {
  readonly grantedTtl: number;
  /** In milliseconds of the store's clock. */
  expiresAt: number;
}

/** etcd's default limit, --max-txn-ops. */
const MAX_OPERATIONS = 128;

/**
 * The Store of the tests: etcd's semantics without etcd, on a clock that the test holds, with faults at its command.
 * Leases that are due end with the next call or `advance`, whichever comes first.
 */
export class MemoryStore implements Store {
  readonly #clock: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #watchers = new Set<Watcher>();
  #revision: Revision = 1n;
  #leasesGranted = 0n;
  #advanced = 0;
  #available = true;
  #closed = false;
  #losesAnswer = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#clock = options.clock ?? (() => 0);
  }

  /** Moves the store's time on. @param seconds how far, on top of what the clock says */
  advance(seconds: number): void {
    this.#advanced += seconds * 1000;
    this.#expireLeases();
  }

  /** Cuts the caller off, or lets it back in. Leases go on expiring, and watchers learn by a snapshot on return. */
  setAvailable(available: boolean): void {
    if (available === this.#available) return;
    this.#available = available;
    for (const watcher of this.#watchers) watcher.push(this.#firstEvent(watcher.prefix));
  }

  /** Breaks every watch once, as a compaction does: `interrupted`, then a snapshot. */
  interruptWatches(): void {
    if (!this.#available) return;
    for (const watcher of this.#watchers) {
      watcher.push({ kind: 'interrupted', error: unavailable('the watch was broken by a test') });
      watcher.push(this.#firstEvent(watcher.prefix));
    }
  }

  /** A backup of everything: keys, revisions, and leases. */
  snapshot(): MemorySnapshot {
    this.#expireLeases();
    const leases = [...this.#leases].map(([id, { grantedTtl }]) => [id, grantedTtl] as const);
    return { revision: this.#revision, entries: [...this.#entries.values()], leases };
  }

  /**
   * Begins anew from a backup, as an etcd does that was restored from one: revisions go back, what was written since is
   * gone, and the leases of then live for their whole time again. Watchers are interrupted.
   */
  restore({ revision, entries, leases }: MemorySnapshot): void {
    this.#revision = revision;
    this.#entries.clear();
    for (const entry of entries) this.#entries.set(entry.key, entry);
    this.#leases.clear();
    for (const [id, grantedTtl] of leases)
      this.#leases.set(id, { grantedTtl, expiresAt: this.#now() + grantedTtl * 1000 });
    this.interruptWatches();
  }

  /** The next transaction is carried out, yet its caller gets `store-unavailable`: the worst case of a lost answer. */
  loseNextAnswer(): void {
    this.#losesAnswer = true;
  }

  async list(prefix: string): Promise<Listing> {
    this.#enter();
    return this.#listing(prefix);
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#enter();
    checkKey(key);
    return this.#entries.get(key);
  }

  async transaction(
    conditions: readonly Condition[],
    operations: readonly Operation[],
  ): Promise<TransactionResult> {
    this.#enter();
    checkTransaction(conditions, operations);
    const succeeded = conditions.every((condition) => this.#holds(condition));
    if (succeeded) {
      for (const operation of operations) {
        const leaseId = operation.do === 'put' ? operation.leaseId : undefined;
        if (leaseId !== undefined) this.#lease(leaseId);
      }
      this.#apply(operations);
    }
    if (this.#losesAnswer) {
      this.#losesAnswer = false;
      throw unavailable('the answer to a transaction was lost by a test');
    }
    return { succeeded, revision: this.#revision };
  }

  async grantLease(ttl: number): Promise<GrantedLease> {
    this.#enter();
    if (ttl < 1)
      throw new CorduroyError('store-protocol', `cannot obtain a lease of ${ttl} s: the least is 1 s`);
    this.#leasesGranted++;
    const id = String(this.#leasesGranted) as LeaseId;
    this.#leases.set(id, { grantedTtl: ttl, expiresAt: this.#now() + ttl * 1000 });
    return { id, ttl };
  }

  async keepLease(id: LeaseId): Promise<number> {
    this.#enter();
    const lease = this.#lease(id);
    lease.expiresAt = this.#now() + lease.grantedTtl * 1000;
    return lease.grantedTtl;
  }

  async leaseInfo(id: LeaseId): Promise<LeaseInfo> {
    this.#enter();
    const { grantedTtl, expiresAt } = this.#lease(id);
    return { ttl: Math.floor((expiresAt - this.#now()) / 1000), grantedTtl };
  }

  async revokeLease(id: LeaseId): Promise<void> {
    this.#enter();
    this.#endLease(id);
  }

  async *watch(prefix: string, signal: AbortSignal): AsyncGenerator<WatchEvent, void, undefined> {
    if (signal.aborted || this.#closed) return;
    const watcher = new Watcher(prefix);
    const end = () => watcher.end();
    signal.addEventListener('abort', end, { once: true });
    this.#watchers.add(watcher);
    this.#expireLeases();
    watcher.push(this.#firstEvent(prefix));
    try {
      for (let event = await watcher.next(); event !== undefined; event = await watcher.next()) yield event;
    } finally {
      signal.removeEventListener('abort', end);
      this.#watchers.delete(watcher);
    }
  }

  /** There is no connection that could be dead. */
  reconnect(): void {}

  async close(): Promise<void> {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.end();
  }

  #now(): number {
    return this.#clock() + this.#advanced;
  }

  /** What every call begins with. */
  #enter(): void {
    if (this.#closed) throw new CorduroyError('store-unavailable', 'the store in memory is closed');
    if (!this.#available) throw unavailable('the store in memory was made unavailable by a test');
    this.#expireLeases();
  }

  #listing(prefix: string): Listing {
    const entries = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    // By bytes as etcd does; JavaScript compares UTF-16, which orders U+FFFD after U+1F9F6.
    entries.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
    return { revision: this.#revision, entries };
  }

  #firstEvent(prefix: string): WatchEvent {
    return this.#available
      ? { kind: 'snapshot', ...this.#listing(prefix) }
      : { kind: 'interrupted', error: unavailable('the store in memory was made unavailable by a test') };
  }

  #holds(condition: Condition): boolean {
    const entry = this.#entries.get(condition.key);
    return condition.is === 'absent' ? entry === undefined : entry?.modRevision === condition.modRevision;
  }

  /** Carries out all operations as one revision; none if they change nothing. */
  #apply(operations: readonly Operation[]): void {
    const effective = operations.filter(({ do: what, key }) => what === 'put' || this.#entries.has(key));
    if (effective.length === 0) return;
    const revision = ++this.#revision;
    const changes = effective.map((operation): Change => {
      const { key } = operation;
      if (operation.do === 'delete') {
        this.#entries.delete(key);
        return { kind: 'delete', key, modRevision: revision };
      }
      const createRevision = this.#entries.get(key)?.createRevision ?? revision;
      const { value, leaseId } = operation;
      const entry: Entry = { key, value, createRevision, modRevision: revision, leaseId };
      this.#entries.set(key, entry);
      return { kind: 'put', entry };
    });
    if (!this.#available) return;
    for (const watcher of this.#watchers) watcher.pushChanges(revision, changes);
  }

  #lease(id: LeaseId): Lease {
    const lease = this.#leases.get(id);
    if (lease !== undefined) return lease;
    throw new CorduroyError('lease-not-found', `lease ${id} has expired or was revoked`);
  }

  #expireLeases(): void {
    for (const [id, { expiresAt }] of this.#leases) if (expiresAt <= this.#now()) this.#endLease(id);
  }

  #endLease(id: LeaseId): void {
    if (!this.#leases.delete(id)) return;
    const held = [...this.#entries.values()].filter(({ leaseId }) => leaseId === id);
    this.#apply(held.map(({ key }) => ({ do: 'delete', key })));
  }
}

/** The queue of one watch. Unbounded: a test that lags far behind has only itself to blame. */
class Watcher {
  readonly prefix: string;
  readonly #events: WatchEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  push(event: WatchEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  pushChanges(revision: Revision, all: readonly Change[]): void {
    const changes = all.filter((change) => keyOf(change).startsWith(this.prefix));
    if (changes.length > 0) this.push({ kind: 'delta', revision, changes });
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The next event, however long it takes; undefined after the end. */
  async next(): Promise<WatchEvent | undefined> {
    while (!this.#ended && this.#events.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#ended ? undefined : this.#events.shift();
  }
}

function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

function unavailable(message: string): CorduroyError {
  return new CorduroyError('store-unavailable', message, { retryable: true });
}

function checkKey(key: string): void {
  if (key === '') throw new CorduroyError('store-protocol', 'a key must not be empty');
}

/** What etcd refuses as INVALID_ARGUMENT. */
function checkTransaction(conditions: readonly Condition[], operations: readonly Operation[]): void {
  for (const { key } of [...conditions, ...operations]) checkKey(key);
  if (Math.max(conditions.length, operations.length) > MAX_OPERATIONS) {
    throw new CorduroyError('store-protocol', `a transaction holds at most ${MAX_OPERATIONS} operations`);
  }
  const puts = operations.filter((operation) => operation.do === 'put').map(({ key }) => key);
  const deletes = operations.filter((operation) => operation.do === 'delete').map(({ key }) => key);
  if (new Set(puts).size < puts.length || puts.some((key) => deletes.includes(key))) {
    throw new CorduroyError('store-protocol', 'a transaction must not write a key twice');
  }
}
