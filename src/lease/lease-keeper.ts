import { CorduroyError, isCode, messageOf } from '../errors.ts';
import type { Prefix } from '../net/prefix.ts';
import type { LeaseId, Revision } from '../store/store.ts';
import { type AcquireOptions, acquireLease, recordValue, type Wanted } from './acquire.ts';
import { answer, challengesTo } from './challenge.ts';
import type { Cluster } from './cluster.ts';
import { fitsRanges, type PreviousSubnets } from './decide.ts';
import { atRiskFrom, type HeldLease, sessionOf } from './held-lease.ts';
import { formatLeaseValue, isOwn } from './lease-record.ts';
import { type LeaseEvent, type LeaseStateName, nextLeaseState } from './lease-state.ts';
import { isNobodys, type RejectedLease, type StoredLease } from './lease-table.ts';
import { lostSubnets } from './lost-subnets.ts';
import type { NodeTable } from './node-table.ts';

/** Milliseconds from a renewal that failed to the next try. */
const RENEW_RETRY = 10_000;
const RENEW_RETRY_SHORTEST = 500;

/**
 * Milliseconds for which no host leaves its subnet after etcd went back in time: a host whose lease an old backup shows
 * as another's waits until that other has put its own right.
 */
export const RESTORE_GRACE = 30_000;

export interface LeaseState {
  readonly name: LeaseStateName;
  /** Monotonic milliseconds. */
  readonly since: number;
  /** Why it is not held: a sentence; empty when it is. */
  readonly reason: string;
}

/**
 * Holds this host's lease: acquires it, renews it, and notices when etcd says something else. The states are those of
 * lease-state.ts; acquire.ts leases; this class ties them to what etcd says and to the clock.
 *
 * Renewal keeps the etcd lease alive and writes no key at all.
 */
export class LeaseKeeper {
  readonly #options: AcquireOptions;
  #state: LeaseState;
  /** What etcd confirmed last; `undefined` while nothing is, or what was confirmed proves nothing any more. */
  #held: HeldLease | undefined;
  /** The etcd lease of what was held last. */
  #session: LeaseId | undefined;
  #previous: PreviousSubnets;
  /** Before this time this host does not leave its subnet, whatever etcd says. */
  #stayUntil = Number.NEGATIVE_INFINITY;
  #moved: string | undefined;
  #isGivenBack = false;
  /** While a lease is written, what the watch shows of that is not compared: the answer tells. */
  #isAcquiring = false;

  constructor(options: AcquireOptions, previous: PreviousSubnets) {
    this.#options = options;
    this.#previous = previous;
    this.#state = { name: 'acquiring', since: options.now(), reason: '' };
  }

  get state(): LeaseState {
    return this.#state;
  }

  get held(): HeldLease | undefined {
    return this.#held;
  }

  /** The subnets that this host uses, whatever etcd says of them now, or wants to use again. */
  get subnets(): readonly Prefix[] {
    return this.#held?.subnets ?? this.#previous.subnets;
  }

  /** Whether `subnets` are in use on this host. */
  get isInUse(): boolean {
    return this.#state.name !== 'acquiring';
  }

  /** A sentence when this host had to change its subnet since the start. */
  get moved(): string | undefined {
    return this.#moved;
  }

  /** Until when this host does not leave its subnet, because etcd went back in time. Monotonic milliseconds. */
  get stayUntil(): number {
    return this.#stayUntil;
  }

  /** When `ensure` should be called next at the latest, monotonic milliseconds: in the past when there is work now. */
  dueAt(wanted: Wanted): number {
    const held = this.#held;
    return held === undefined || !this.#says(held, wanted) ? Number.NEGATIVE_INFINITY : held.session.renewAt;
  }

  /** These subnets were in use on this host when the last daemon ended: containers have addresses of them. */
  recall(subnets: readonly Prefix[]): void {
    this.#previous = { subnets, inUse: true };
  }

  /** The subnets that were recalled are used before etcd has confirmed them. */
  remember(): void {
    if (this.#previous.inUse) this.#go('remembered', 'etcd has not confirmed it since the daemon started');
  }

  /**
   * Holds a lease that fits and says of this host what it should, acquiring one if there is none; renews it when due.
   * @param cluster everything under the prefix as last seen, if it is
   * @throws CorduroyError `not-unique`, `out-of-subnets`, `conflict`, or the store's
   */
  async ensure(wanted: Wanted, cluster?: Cluster): Promise<HeldLease> {
    const before = this.#held;
    if (before !== undefined) {
      if (!this.#says(before, wanted)) await this.#acquire(wanted, cluster);
      else await this.#renewIfDue();
    }
    // Renewal may have found that the lease is gone.
    const held = this.#held ?? (await this.#acquire(wanted, cluster));
    this.#sayMove(held.subnets);
    this.#previous = { subnets: held.subnets, inUse: true };
    return held;
  }

  /** Compares what is held with everything under the prefix as of a revision; to be called after every change of it. */
  observe(cluster: Cluster, revision: Revision): void {
    const { leases, nodes } = cluster;
    const held = this.#held;
    // A table from before our own write says nothing about it.
    if (held === undefined || this.#isAcquiring) return;
    if (revision < held.modRevision || revision < held.node.modRevision) return;
    const stored = leases.get(held.key);
    if (stored === undefined) {
      this.#lose('gone', `the lease ${held.key} was deleted in etcd or has expired: taking it again`);
    } else if (stored.entry.modRevision !== held.modRevision) {
      this.#observeRewritten(held, stored, nodes);
    } else if (nodes.get(this.#options.machine.nodeId)?.entry.modRevision !== held.node.modRevision) {
      this.#lose('doubted', "this machine's record in etcd was deleted or written over: looking at it anew");
    } else if (stored.subnets !== undefined) {
      this.#observeElders(stored, cluster);
    }
  }

  #observeElders(stored: StoredLease, cluster: Cluster): void {
    const { machine, now } = this.#options;
    if (now() < this.#stayUntil) return;
    const [lost] = lostSubnets(stored, cluster, { ...machine, attributes: stored.attributes });
    if (lost === undefined) return;
    this.#lose(
      'taken',
      `conflict: ${lost.subnet} of this host is also leased under ${lost.elder.entry.key}, which is older and counts: this ` +
        'host leases another in its place, and its containers have to be restarted to get addresses from it',
    );
  }

  #observeRewritten(held: HeldLease, stored: StoredLease | RejectedLease, nodes: NodeTable): void {
    const { key } = held;
    // A key can get older only by a restored backup, and what that says may be long over.
    if (stored.entry.modRevision < held.modRevision) this.#stay();
    if (stored.subnets === undefined || isNobodys(stored)) {
      this.#lose('gone', `the lease ${key} was overwritten with what names no host: putting it right`);
    } else if (this.#isOurs(held, stored, nodes)) {
      this.#lose('doubted', `the lease ${key} was rewritten with this host's address: looking at it anew`);
    } else {
      const owner = stored.attributes.publicIp ?? stored.attributes.publicIpv6;
      this.#lose(
        'taken',
        `conflict: the lease ${key} of this host was overwritten in etcd with public address ${owner}. What etcd holds ` +
          'counts: this host leases another subnet, and its containers have to be restarted to get addresses from it',
      );
    }
  }

  /** Also a write of this host that was not answered: then its record, written with it, says so. */
  #isOurs(held: HeldLease, stored: StoredLease, nodes: NodeTable): boolean {
    return (
      isOwn(stored.attributes, held.attributes) ||
      stored.entry.leaseId === held.session.id ||
      nodes.holderOf(stored)?.nodeId === this.#options.machine.nodeId
    );
  }

  /** Forgets what is held, not the subnet: `ensure` looks at it anew. For a store whose history is not the one known. */
  doubt(): void {
    this.#stay();
    if (this.#held === undefined) return;
    const reason = 'etcd has gone back in time (was it restored from a backup?): looking at the lease anew';
    this.#options.log.warn(reason);
    this.#lose('doubted', reason);
  }

  /**
   * To be called when everything was read anew, as of a revision. If that is older than what this host wrote last, it was
   * read a moment before; or etcd was restored just then, and the lease is not there any more.
   */
  compare(revision: Revision): void {
    if (this.#isAcquiring || this.#held === undefined) return;
    if (revision >= this.#held.node.modRevision) return;
    this.#lose('doubted', 'what was read of etcd is older than the lease of this host: looking at it anew');
  }

  /** Tells others who ask that this machine lives. To be called after every change; costs nothing when nobody asks. */
  async answerChallenges({ challenges }: Cluster): Promise<void> {
    if (this.#held === undefined || challenges.size === 0) return;
    const { store, prefix, machine, log } = this.#options;
    const { nodeId: node, processId: asker } = machine;
    for (const question of challengesTo(challenges, { prefix, node, asker })) {
      log.info('another host asked whether this machine lives: it does');
      await answer(store, question);
    }
  }

  /**
   * Gives the lease back: what hangs on its etcd lease, key and record, is deleted with it. A reservation stays.
   * @throws CorduroyError `conflict` while etcd does not confirm what this host uses or has used, or the store's
   */
  async release(): Promise<void> {
    const held = this.#held;
    if (held === undefined) {
      if (this.#isGivenBack || (!this.isInUse && this.subnets.length === 0)) return;
      const { name, reason } = this.#state;
      const text = this.isInUse
        ? `the lease is ${name}, and cannot be given back: ${reason}`
        : `this host has not taken up the lease of its subnet ${this.subnets.join(' and ')} yet, and cannot give it ` +
          'back: wait for that (corduroy wait), or let it expire';
      throw new CorduroyError('conflict', text, { retryable: true });
    }
    this.#held = undefined; // The deletion that the watch will show is no loss.
    try {
      await this.#options.store.revokeLease(held.session.id);
      this.#go('released', '');
      this.#isGivenBack = true;
      const what = held.reserved ? 'kept the reservation of' : 'gave back';
      this.#options.log.info(
        `${what} ${held.subnets.join(' and ')}. Devices and data plane stay until: corduroy down`,
      );
    } catch (error) {
      this.#go('doubted', `it may have been given back: ${messageOf(error)}`);
      throw error;
    }
  }

  /** Whether etcd has of this host what should stand there. */
  #says({ attributes, node, subnets }: HeldLease, wanted: Wanted): boolean {
    return (
      fitsRanges(subnets, wanted.ranges) &&
      formatLeaseValue(attributes) === formatLeaseValue(wanted.attributes) &&
      node.value === recordValue(this.#options.machine, wanted, subnets)
    );
  }

  async #acquire(wanted: Wanted, cluster: Cluster | undefined): Promise<HeldLease> {
    const { now } = this.#options;
    const held = this.#held;
    const mustStay =
      now() < this.#stayUntil
        ? 'etcd has gone back in time and shows the subnet of this host as taken: staying with it for a moment, until ' +
          'the others have put their leases right'
        : undefined;
    const before = { previous: this.#previous, held, session: this.#session, cluster, mustStay };
    this.#isAcquiring = true;
    try {
      const acquired = await acquireLease(this.#options, wanted, before);
      // What `observe` has found out about the old one meanwhile is settled by this.
      this.#held = acquired;
      this.#isGivenBack = false;
      this.#go('acquired', '');
      await this.#replaceSession(acquired.session.id);
      return acquired;
    } catch (error) {
      if (isCode(error, 'conflict') && mustStay !== undefined) this.#go('taken', messageOf(error));
      throw error;
    } finally {
      this.#isAcquiring = false;
    }
  }

  /** Nothing hangs on the one before any more. */
  async #replaceSession(id: LeaseId): Promise<void> {
    const before = this.#session;
    this.#session = id;
    if (before === undefined || before === id) return;
    await this.#options.store.revokeLease(before).catch(() => undefined); // Else it expires.
  }

  async #renewIfDue(): Promise<void> {
    const held = this.#held;
    const { now, store, log, renewMargin } = this.#options;
    if (held === undefined || now() < held.session.renewAt) return;
    this.#go('due', 'the lease is due, and etcd has not answered yet');
    const asked = now();
    const { id, expiresAt } = held.session;
    // What `observe` has found out while etcd was asked is newer than the answer.
    const overtaken = () => this.#held !== held;
    try {
      const ttl = await store.keepLease(id);
      if (overtaken()) return;
      this.#held = { ...held, session: sessionOf(id, ttl, renewMargin, asked) };
      this.#go('renewed', '');
      log.debug(`renewed the lease ${held.key} for ${ttl} s`);
    } catch (error) {
      if (overtaken()) return;
      if (isCode(error, 'lease-not-found')) {
        this.#lose('gone', `the lease ${held.key} has expired in etcd: taking it again`);
        return;
      }
      // Several tries before the end of even a short lease.
      const pause = Math.min(RENEW_RETRY, Math.max((expiresAt - now()) / 4, RENEW_RETRY_SHORTEST));
      if (this.#state.name === 'at-risk' || now() >= atRiskFrom(this.#state.since, expiresAt))
        this.#go('unanswered', riskOf(held.key, expiresAt - now()));
      this.#held = { ...held, session: { id, expiresAt, renewAt: now() + pause } };
      throw error;
    }
  }

  /** What was held is so no more; its subnets stay in use. */
  #lose(event: Extract<LeaseEvent, 'gone' | 'doubted' | 'taken'>, reason: string): void {
    const { log } = this.#options;
    if (event === 'taken') log.error(reason);
    else if (event === 'gone') log.warn(reason);
    else log.debug(reason); // What an operator meant to do, mostly; the next line says what came of it.
    this.#held = undefined;
    this.#go(event, reason);
  }

  #stay(): void {
    this.#stayUntil = this.#options.now() + RESTORE_GRACE;
  }

  #go(event: LeaseEvent, reason: string): void {
    const name = nextLeaseState(this.#state.name, event);
    if (name === this.#state.name) {
      // An end that has come nearer, or passed.
      if (event === 'unanswered' && name === 'at-risk') this.#state = { ...this.#state, reason };
      return;
    }
    this.#options.log.debug(`the lease was ${this.#state.name} and is ${name}`);
    this.#state = { name, since: this.#options.now(), reason };
  }

  /** Containers keep the addresses they have: a host that changes its subnet has to say so. */
  #sayMove(subnets: readonly Prefix[]): void {
    const { subnets: before } = this.#previous;
    const lost = before.filter((one) => !subnets.some((subnet) => subnet.equals(one)));
    if (lost.length === 0) return;
    const next = subnets.filter((one) => !before.some((subnet) => subnet.equals(one)));
    this.#moved =
      `this host's subnet has changed from ${lost.join(' and ')}, which is taken or does not fit the network ` +
      `config, to ${next.length > 0 ? next.join(' and ') : `none beside ${subnets.join(' and ')}`}: restart its containers, and then corduroyd`;
    this.#options.log.error(this.#moved);
  }
}

/** @param left milliseconds */
function riskOf(key: string, left: number): string {
  const when = left > 0 ? `expires in ${Math.round(left / 1000)} s` : 'may have expired';
  return `etcd does not answer, and the lease ${key} ${when}: then another host may lease the subnet`;
}
