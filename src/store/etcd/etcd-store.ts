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
import { keepAliveOnce } from './client.ts';
import { EtcdConnection } from './connection.ts';
import type { Need } from './errors.ts';
import { listKeys } from './list.ts';
import { type BackoffOptions, DEFAULT_WATCH_BACKOFF, type EtcdOptions } from './options.ts';
import { watchPrefix } from './watch.ts';
import { compareOf, entryOf, requestOf } from './wire.ts';

/**
 * Does not connect yet: the first call does. So a daemon may be started before its etcd.
 * @throws CorduroyError `usage` when the options contradict each other
 */
export function openEtcdStore(options: EtcdOptions): Store {
  return new EtcdStore(options);
}

/** The Store in etcd, API version 3 (etcd 3.4 or later). Fields are private to the language: dumps show no password. */
class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #backoff: BackoffOptions;
  readonly #random: () => number;
  readonly #closing = new AbortController();

  constructor(options: EtcdOptions) {
    this.#connection = new EtcdConnection(options);
    this.#backoff = options.watchBackoff ?? DEFAULT_WATCH_BACKOFF;
    this.#random = options.random ?? Math.random;
  }

  async list(prefix: string): Promise<Listing> {
    return this.#connection.use((client) => listKeys(client, prefix));
  }

  async get(key: string): Promise<Entry | undefined> {
    const response = await this.#connection.use((client) =>
      client.repeatable(`read the key "${key}"`, ({ kv }) => kv.range({ key: Buffer.from(key) }), [
        { permission: 'read', key },
      ]),
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
    const response = await this.#connection.use((client) =>
      client.once(
        `write ${keys}`,
        ({ kv }) => kv.txn({ compare: conditions.map(compareOf), success: operations.map(requestOf) }),
        needsOf(conditions, operations),
      ),
    );
    return { succeeded: response.succeeded, revision: BigInt(response.header.revision) };
  }

  async grantLease(ttl: number): Promise<GrantedLease> {
    // Repeatable: a lease granted without our knowing it holds no key, and expires.
    const response = await this.#connection.use((client) =>
      client.repeatable(`obtain a lease of ${ttl} s`, ({ leaseClient }) =>
        leaseClient.leaseGrant({ TTL: ttl }),
      ),
    );
    return { id: response.ID as LeaseId, ttl: Number(response.TTL) };
  }

  async keepLease(id: LeaseId): Promise<number> {
    const ttl = await this.#connection.use((client) =>
      client.repeatable(`renew lease ${id}`, (calls) => keepAliveOnce(calls, id, client.requestTimeoutMs)),
    );
    if (ttl <= 0) throw leaseNotFound('renew', id);
    return ttl;
  }

  async leaseInfo(id: LeaseId): Promise<LeaseInfo> {
    const response = await this.#connection.use((client) =>
      client.repeatable(`look up lease ${id}`, ({ leaseClient }) => leaseClient.leaseTimeToLive({ ID: id })),
    );
    // Not by TTL: a lease in its last second has 0 left as well.
    if (response.grantedTTL === '0') throw leaseNotFound('look up', id);
    return { ttl: Math.max(0, Number(response.TTL)), grantedTtl: Number(response.grantedTTL) };
  }

  async revokeLease(id: LeaseId): Promise<void> {
    try {
      await this.#connection.use((client) =>
        client.repeatable(`revoke lease ${id}`, ({ leaseClient }) => leaseClient.leaseRevoke({ ID: id })),
      );
    } catch (error) {
      if (!isCode(error, 'lease-not-found')) throw error;
    }
  }

  watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const context = {
      connection: this.#connection,
      backoff: this.#backoff,
      random: this.#random,
    };
    return watchPrefix(context, prefix, AbortSignal.any([signal, this.#closing.signal]));
  }

  reconnect(): void {
    this.#connection.renew();
  }

  /** Also ends a watch that was forgotten: it would try for ever, and hold the process open. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#connection.close();
  }
}

/** A key that is compared has to be readable; one that is written, for Corduroy's part, is read as well. */
function needsOf(conditions: readonly Condition[], operations: readonly Operation[]): Need[] {
  const written = new Set(operations.map(({ key }) => key));
  const read = new Set(conditions.map(({ key }) => key).filter((key) => !written.has(key)));
  return [
    ...[...written].map((key): Need => ({ permission: 'readwrite', key })),
    ...[...read].map((key): Need => ({ permission: 'read', key })),
  ];
}

function leaseNotFound(verb: string, id: LeaseId): CorduroyError {
  return new CorduroyError('lease-not-found', `cannot ${verb} lease ${id}: it has expired or was revoked`);
}
