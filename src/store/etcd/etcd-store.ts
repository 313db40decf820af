import { CorduroyError, isCode } from '../../errors.ts';
import type {
  Condition,
  Entry,
  GrantedLease,
  LeaseId,
  LeaseInfo,
  Listing,
  Operation,
  Store,
  TransactionResult,
  WatchEvent,
} from '../store.ts';
import { EtcdClient, keepAliveOnce } from './client.ts';
import { type BackoffOptions, DEFAULT_WATCH_BACKOFF, type EtcdOptions } from './options.ts';
import { watchPrefix } from './watch.ts';
import { compareOf, entryOf, prefixRange, requestOf } from './wire.ts';

/**
 * Does not connect yet: the first call does. So a daemon may be started before its etcd.
 * @throws CorduroyError `usage` when the options contradict each other
 */
export function openEtcdStore(options: EtcdOptions): Store {
  return new EtcdStore(options);
}

/** The Store in etcd, API version 3 (etcd 3.4 or later). Fields are private to the language: dumps show no password. */
export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #backoff: BackoffOptions;
  readonly #random: () => number;
  readonly #closing = new AbortController();

  constructor(options: EtcdOptions) {
    this.#client = new EtcdClient(options);
    this.#backoff = options.watchBackoff ?? DEFAULT_WATCH_BACKOFF;
    this.#random = options.random ?? Math.random;
  }

  async list(prefix: string): Promise<Listing> {
    // Sorted by key: etcd's order when none is asked for.
    const range = prefixRange(Buffer.from(prefix));
    const response = await this.#client.repeatable(`read the keys under "${prefix}"`, ({ kv }) =>
      kv.range(range),
    );
    return { revision: BigInt(response.header.revision), entries: response.kvs.map(entryOf) };
  }

  async get(key: string): Promise<Entry | undefined> {
    const response = await this.#client.repeatable(`read the key "${key}"`, ({ kv }) =>
      kv.range({ key: Buffer.from(key) }),
    );
    const [kv] = response.kvs;
    return kv === undefined ? undefined : entryOf(kv);
  }

  /**
   * Never repeated by itself. After `store-unavailable` nobody knows whether it was carried out: read, then decide.
   */
  async transaction(
    conditions: readonly Condition[],
    operations: readonly Operation[],
  ): Promise<TransactionResult> {
    const keys = [...new Set([...conditions, ...operations].map(({ key }) => `"${key}"`))].join(', ');
    const response = await this.#client.once(`write ${keys}`, ({ kv }) =>
      kv.txn({ compare: conditions.map(compareOf), success: operations.map(requestOf) }),
    );
    return { succeeded: response.succeeded, revision: BigInt(response.header.revision) };
  }

  async grantLease(ttl: number): Promise<GrantedLease> {
    // Repeatable: a lease granted without our knowing it holds no key, and expires.
    const response = await this.#client.repeatable(`obtain a lease of ${ttl} s`, ({ leaseClient }) =>
      leaseClient.leaseGrant({ TTL: ttl }),
    );
    return { id: response.ID as LeaseId, ttl: Number(response.TTL) };
  }

  async keepLease(id: LeaseId): Promise<number> {
    const ttl = await this.#client.repeatable(`renew lease ${id}`, (calls) =>
      keepAliveOnce(calls, id, this.#client.requestTimeoutMs),
    );
    if (ttl <= 0) throw leaseNotFound('renew', id);
    return ttl;
  }

  async leaseInfo(id: LeaseId): Promise<LeaseInfo> {
    const response = await this.#client.repeatable(`look up lease ${id}`, ({ leaseClient }) =>
      leaseClient.leaseTimeToLive({ ID: id }),
    );
    // Not by TTL: a lease in its last second has 0 left as well.
    if (response.grantedTTL === '0') throw leaseNotFound('look up', id);
    return { ttl: Math.max(0, Number(response.TTL)), grantedTtl: Number(response.grantedTTL) };
  }

  async revokeLease(id: LeaseId): Promise<void> {
    try {
      await this.#client.repeatable(`revoke lease ${id}`, ({ leaseClient }) =>
        leaseClient.leaseRevoke({ ID: id }),
      );
    } catch (error) {
      if (!isCode(error, 'lease-not-found')) throw error;
    }
  }

  watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const context = {
      client: this.#client,
      list: (of: string) => this.list(of),
      backoff: this.#backoff,
      random: this.#random,
    };
    return watchPrefix(context, prefix, AbortSignal.any([signal, this.#closing.signal]));
  }

  /** Also ends a watch that was forgotten: it would try for ever, and hold the process open. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#client.close();
  }
}

function leaseNotFound(verb: string, id: LeaseId): CorduroyError {
  return new CorduroyError('lease-not-found', `cannot ${verb} lease ${id}: it has expired or was revoked`);
}
