import type { SubnetRange } from '../config/network-config.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { type RandomInt, subnetCount } from '../ipam/pick-subnet.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Log } from '../observe/log.ts';
import type { Condition, LeaseId, Revision, Store } from '../store/store.ts';
import { decideLease, isOwn, sameSubnets } from './decide.ts';
import { formatLeaseValue, type LeaseAttributes, leaseKey, subnetsFolder } from './lease-record.ts';
import { LeaseTable, type StoredLease } from './lease-table.ts';

/** The lease this host holds. */
export interface HeldLease {
  readonly key: string;
  readonly subnets: readonly Prefix[];
  readonly attributes: LeaseAttributes;
  /** The fence: every later write of the key demands that it is still of this revision. */
  readonly modRevision: Revision;
  /** Absent for a reservation: it never expires and is never renewed. */
  readonly timed: { readonly id: LeaseId; readonly expiresAt: number; readonly renewAt: number } | undefined;
}

export interface Wanted {
  readonly ranges: readonly SubnetRange[];
  /** Key and revision of the network config the ranges come from: creation is fenced by it. */
  readonly configKey: string;
  readonly configRevision: Revision;
  readonly attributes: LeaseAttributes;
}

export interface LeaseKeeperOptions {
  readonly store: Store;
  readonly prefix: string;
  /** Seconds. */
  readonly ttl: number;
  /** Seconds before expiry at which the lease is renewed. */
  readonly renewMargin: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly random: RandomInt;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly log: Log;
}

/** How often a race is run again before the caller is told; each round lost means that another host got its lease. */
const ROUNDS = 20;
/** Milliseconds from a renewal that failed to the next try. */
const RENEW_RETRY = 10_000;
const RENEW_RETRY_SHORTEST = 500;

/**
 * Acquires this host's lease, renews it, and notices when it is gone.
 *
 * Every write is a compare-and-swap: creation demands that the key is absent and the network config unchanged; every
 * later write demands the revision last seen. Renewal keeps the etcd lease alive and writes no key at all.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #held: HeldLease | undefined;
  #previous: readonly Prefix[];
  #moved: string | undefined;

  /** @param previous the subnets of subnet.env, wanted again if they are free */
  constructor(options: LeaseKeeperOptions, previous: readonly Prefix[]) {
    this.#options = options;
    this.#previous = previous;
  }

  get held(): HeldLease | undefined {
    return this.#held;
  }

  /**
   * Holds a lease that fits, acquiring one if there is none; renews it when due.
   * @throws CorduroyError `out-of-subnets`, `conflict` (every round lost), or the store's
   */
  async ensure(wanted: Wanted): Promise<HeldLease> {
    if (this.#held === undefined) this.#held = await this.#acquire(wanted);
    else await this.#renewIfDue();
    // Renewal may have found that the lease is gone.
    this.#held ??= await this.#acquire(wanted);
    this.#sayMove(this.#held.subnets);
    this.#previous = this.#held.subnets;
    return this.#held;
  }

  /** Compares what is held with the table as of a revision; to be called after every change of it. */
  observe(table: LeaseTable, revision: Revision): void {
    const held = this.#held;
    // A table from before our own write says nothing about it.
    if (held === undefined || revision < held.modRevision) return;
    const stored = table.get(held.key);
    if (stored === undefined) {
      this.#options.log.warn(`the lease ${held.key} was deleted in etcd or has expired: taking it again`);
      this.#held = undefined;
    } else if (stored.entry.modRevision === held.modRevision) {
      return;
    } else if (stored.subnets !== undefined && isOwn(stored.attributes, held.attributes)) {
      // Rewritten with our own address, by a tool or a flanneld on this host: look at it anew.
      this.#options.log.info(`the lease ${held.key} was rewritten with this host's address: taking it over`);
      this.#held = undefined;
    } else {
      const owner =
        stored.subnets === undefined ? 'an unreadable value' : `public address ${publicAddress(stored)}`;
      this.#options.log.error(
        `conflict: the lease ${held.key} of this host was overwritten in etcd with ${owner}. What etcd holds counts: ` +
          'this host leases another subnet, and its containers have to be restarted to get addresses from it',
      );
      this.#held = undefined;
    }
  }

  /** Forgets the lease, not the subnet: `ensure` looks at it anew. For a store whose history is not the one known. */
  doubt(): void {
    if (this.#held === undefined) return;
    this.#options.log.warn(
      'etcd has gone back in time (was it restored from a backup?): looking at the lease anew',
    );
    this.#held = undefined;
  }

  /** The subnets held, or held last. */
  get subnets(): readonly Prefix[] {
    return this.#held?.subnets ?? this.#previous;
  }

  /** A sentence when this host had to change its subnet since the start. */
  get moved(): string | undefined {
    return this.#moved;
  }

  /** When `ensure` should be called next at the latest, monotonic milliseconds. */
  get dueAt(): number {
    return this.#held?.timed?.renewAt ?? Number.POSITIVE_INFINITY;
  }

  /** Gives the lease back: its key is deleted if it is still this host's. A reservation stays. */
  async release(): Promise<void> {
    const held = this.#held;
    if (held?.timed === undefined) return;
    const { key, modRevision } = held;
    // A read may try every endpoint, a transaction only one: after it, that one is known to be alive.
    await this.#options.store.get(key);
    this.#held = undefined; // The deletion that the watch will show is no loss.
    try {
      await this.#options.store.transaction([{ key, is: 'unchanged', modRevision }], [{ do: 'delete', key }]);
      await this.#options.store.revokeLease(held.timed.id);
    } catch (error) {
      this.#held = held;
      throw error;
    }
  }

  async #renewIfDue(): Promise<void> {
    const held = this.#held;
    const { now, store, log } = this.#options;
    if (held?.timed === undefined || now() < held.timed.renewAt) return;
    const asked = now();
    const { id, expiresAt } = held.timed;
    // What `observe` has found out while etcd was asked is newer than the answer.
    const overtaken = () => this.#held !== held;
    try {
      const ttl = await store.keepLease(id);
      if (overtaken()) return;
      this.#held = { ...held, timed: this.#timed(id, ttl, asked) };
      log.debug(`renewed the lease ${held.key} for ${ttl} s`);
    } catch (error) {
      if (overtaken()) return;
      if (!isCode(error, 'lease-not-found')) {
        // Several tries before the end of even a short lease.
        const pause = Math.min(RENEW_RETRY, Math.max((expiresAt - now()) / 4, RENEW_RETRY_SHORTEST));
        this.#held = { ...held, timed: { id, expiresAt, renewAt: now() + pause } };
        throw error;
      }
      log.warn(`the lease ${held.key} has expired in etcd: taking it again`);
      this.#held = undefined;
    }
  }

  async #acquire(wanted: Wanted): Promise<HeldLease> {
    const grant = new Grant(this.#options.store, this.#options.ttl);
    try {
      for (let round = 1; round <= ROUNDS; round++) {
        const held = await this.#tryAcquire(wanted, grant);
        if (held !== undefined) return held;
        this.#options.log.debug(`lost a race for a lease, round ${round}`);
        await this.#options.sleep(this.#options.random(20 * round));
      }
    } finally {
      await grant.revokeIfUnused();
    }
    throw new CorduroyError(
      'conflict',
      `other hosts were faster ${ROUNDS} times in a row in leasing a subnet`,
      {
        retryable: true,
      },
    );
  }

  /** One round; `undefined` when another writer was faster. */
  async #tryAcquire(wanted: Wanted, grant: Grant): Promise<HeldLease | undefined> {
    const { store, prefix, random, log } = this.#options;
    const { entries } = await store.list(subnetsFolder(prefix));
    const situation = { ...wanted, table: new LeaseTable(prefix, entries), previous: this.#previous };
    const decision = decideLease(situation, random);
    switch (decision.do) {
      case 'wait': {
        const [range] = wanted.ranges;
        const count = range === undefined ? 0 : subnetCount(range);
        throw new CorduroyError(
          'out-of-subnets',
          `out of subnets: all ${count} subnets of ${range?.network} from ${range?.subnetMin} to ${range?.subnetMax} are leased. ` +
            'See them with: corduroy leases list. This host takes the first that is freed',
          { retryable: true },
        );
      }
      case 'discard': {
        const { key, modRevision } = decision.lease.entry;
        log.warn(`deleting this host's lease ${key}: it does not fit the network config any more`);
        await store.transaction([{ key, is: 'unchanged', modRevision }], [{ do: 'delete', key }]);
        return undefined;
      }
      case 'take-over':
        return this.#takeOver(decision.lease, wanted, grant);
      case 'create': {
        const key = leaseKey(prefix, decision.subnets);
        const unchangedConfig: Condition = {
          key: wanted.configKey,
          is: 'unchanged',
          modRevision: wanted.configRevision,
        };
        const held = await this.#write(
          key,
          decision.subnets,
          wanted,
          [{ key, is: 'absent' }, unchangedConfig],
          grant,
        );
        const subnets = decision.subnets.join(' and ');
        if (held !== undefined)
          log.info(`leased ${subnets}${decision.reused ? ', the subnet this host had' : ''}`);
        else await this.#requireConfig(wanted);
        return held;
      }
    }
  }

  /** Containers keep the addresses they have: a host that changes its subnet has to say so. */
  #sayMove(subnets: readonly Prefix[]): void {
    if (this.#previous.length === 0 || sameSubnets(subnets, this.#previous)) return;
    this.#moved =
      `this host's subnet has changed from ${this.#previous.join(' and ')}, which is taken or does not fit the network ` +
      `config, to ${subnets.join(' and ')}: restart its containers, and then corduroyd`;
    this.#options.log.error(this.#moved);
  }

  /** @throws CorduroyError `conflict` when the network config is not what the subnet was chosen by */
  async #requireConfig({ configKey, configRevision }: Wanted): Promise<void> {
    const config = await this.#options.store.get(configKey);
    if (config?.modRevision === configRevision) return;
    throw new CorduroyError(
      'conflict',
      `the network config ${configKey} changed while a subnet was leased: starting anew`,
      {
        retryable: true,
      },
    );
  }

  async #takeOver(lease: StoredLease, wanted: Wanted, grant: Grant): Promise<HeldLease | undefined> {
    const { store, ttl, now, log } = this.#options;
    const { key, modRevision, leaseId, value } = lease.entry;
    const unchanged: Condition = { key, is: 'unchanged', modRevision };
    const wantedValue = formatLeaseValue(wanted.attributes);
    const asIs = { key, subnets: lease.subnets, attributes: wanted.attributes, modRevision };
    log.info(
      `taking over ${lease.subnets.join(' and ')}, this host's own lease${leaseId ? '' : ' (a reservation)'}`,
    );
    if (leaseId === undefined) {
      if (value === wantedValue) return { ...asIs, timed: undefined };
      const result = await store.transaction([unchanged], [{ do: 'put', key, value: wantedValue }]);
      return result.succeeded ? { ...asIs, modRevision: result.revision, timed: undefined } : undefined;
    }
    if (value === wantedValue) {
      // Nothing to write: peers hear nothing of a restart.
      const asked = now();
      try {
        const { grantedTtl } = await store.leaseInfo(leaseId);
        if (grantedTtl === ttl)
          return { ...asIs, timed: this.#timed(leaseId, await store.keepLease(leaseId), asked) };
      } catch (error) {
        if (!isCode(error, 'lease-not-found')) throw error;
      }
    }
    return this.#write(key, lease.subnets, wanted, [unchanged], grant);
  }

  async #write(
    key: string,
    subnets: readonly Prefix[],
    { attributes }: Wanted,
    conditions: readonly Condition[],
    grant: Grant,
  ): Promise<HeldLease | undefined> {
    const asked = this.#options.now();
    const { id, ttl } = await grant.get();
    const value = formatLeaseValue(attributes);
    grant.used = true; // Also when no answer comes: then the key may have been written.
    const result = await this.#options.store.transaction(conditions, [
      { do: 'put', key, value, leaseId: id },
    ]);
    grant.used = result.succeeded;
    if (!result.succeeded) return undefined;
    return { key, subnets, attributes, modRevision: result.revision, timed: this.#timed(id, ttl, asked) };
  }

  /** Counted from before the question was sent, so that the host never believes in its lease longer than etcd does. */
  #timed(id: LeaseId, ttl: number, asked: number): NonNullable<HeldLease['timed']> {
    const margin = Math.min(this.#options.renewMargin, (ttl * 2) / 3);
    return { id, expiresAt: asked + ttl * 1000, renewAt: asked + (ttl - margin) * 1000 };
  }
}

/** An etcd lease that is granted when first needed, serves every round, and is revoked if no key came to use it. */
class Grant {
  used = false;
  readonly #store: Store;
  readonly #ttl: number;
  #granted: { readonly id: LeaseId; readonly ttl: number } | undefined;

  constructor(store: Store, ttl: number) {
    this.#store = store;
    this.#ttl = ttl;
  }

  async get(): Promise<{ readonly id: LeaseId; readonly ttl: number }> {
    this.#granted ??= await this.#store.grantLease(this.#ttl);
    return this.#granted;
  }

  /** Failing here is no failure: an unused etcd lease expires by itself. */
  async revokeIfUnused(): Promise<void> {
    if (this.#granted !== undefined && !this.used)
      await this.#store.revokeLease(this.#granted.id).catch(() => undefined);
  }
}

function publicAddress({ attributes }: StoredLease): string {
  return String(attributes.publicIp ?? attributes.publicIpv6);
}
