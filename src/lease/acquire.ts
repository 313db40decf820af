import type { SubnetRange } from '../config/network-config.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { type RandomInt, subnetCount } from '../ipam/pick-subnet.ts';
import type { Log } from '../observe/log.ts';
import { printable } from '../printable.ts';
import type { Condition, Entry, LeaseId, Operation, Revision, Store } from '../store/store.ts';
import { isAlive } from './challenge.ts';
import { Cluster } from './cluster.ts';
import { type Decision, decideLease, type PreviousSubnets, sameSubnets } from './decide.ts';
import { Grant } from './grant.ts';
import { type HeldLease, sessionOf } from './held-lease.ts';
import {
  formatLeaseValue,
  type LeaseAttributes,
  leaseKey,
  leaseName,
  type PublicAddresses,
  sharesAddress,
} from './lease-record.ts';
import type { StoredLease } from './lease-table.ts';
import { formatNodeValue, type NodeId, nodeKey } from './node-record.ts';
import { formatReservation, reservationKey } from './reservation.ts';

/** What a lease has to fit, and what this host says of itself in it. */
export interface Wanted {
  readonly ranges: readonly SubnetRange[];
  /** Key and revision of the network config the ranges come from: creation is fenced by it. */
  readonly configKey: string;
  readonly configRevision: Revision;
  readonly attributes: LeaseAttributes;
  readonly capabilities: readonly string[];
  /** See NodeRecord. */
  readonly hardware: string;
}

/** This machine, for as long as the daemon runs. */
export interface Machine {
  readonly nodeId: NodeId;
  readonly hostName: string;
  /** Of corduroyd. */
  readonly version: string;
  /** A text of this process: whose question a challenge is. */
  readonly processId: string;
}

export interface AcquireOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly machine: Machine;
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

/** What is known of this host's lease so far. */
export interface Before {
  readonly previous: PreviousSubnets;
  readonly held: HeldLease | undefined;
  /** The etcd lease that this process holds, or held, its lease by: what hangs on it is its own. */
  readonly session: LeaseId | undefined;
  /** Everything under the prefix, if it is known: the first round goes by it. Should it be stale, the fences tell. */
  readonly cluster: Cluster | undefined;
  /** Why another subnet than the one in use must not be leased yet; `undefined`: it may be. */
  readonly mustStay: string | undefined;
}

/** How often a race is run again before the caller is told; each round lost means that another host got its lease. */
const ROUNDS = 20;

/**
 * Leases a subnet. Every write is one transaction that demands what was read: an absent key is still absent, a key that
 * is taken over is of the revision seen, the network config is the one the subnet was computed from. It writes the lease
 * and this machine's record together, bound to one etcd lease.
 *
 * @throws CorduroyError `not-unique`, `out-of-subnets`, `conflict` (every round lost, or the subnet in use is another's and
 *   it is too early to leave it), or the store's
 */
export async function acquireLease(
  options: AcquireOptions,
  wanted: Wanted,
  before: Before,
): Promise<HeldLease> {
  const acquisition = new Acquisition(options, wanted, before);
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      const held = await acquisition.tryOnce();
      if (held !== undefined) return held;
      options.log.debug(`looking at the leases again, round ${round}`);
      await options.sleep(options.random(20 * round));
    }
  } finally {
    await acquisition.grant.revokeIfUnused();
  }
  throw conflict(`other hosts were faster ${ROUNDS} times in a row in leasing a subnet`);
}

class Acquisition {
  readonly grant: Grant;
  readonly #options: AcquireOptions;
  readonly #wanted: Wanted;
  readonly #before: Before;
  readonly #silent = new Set<NodeId>();
  #known: Cluster | undefined;

  constructor(options: AcquireOptions, wanted: Wanted, before: Before) {
    this.#options = options;
    this.#wanted = wanted;
    this.#before = before;
    this.#known = before.cluster;
    this.grant = new Grant(options.store, options.ttl);
  }

  /** One round; `undefined` when another writer was faster, or a question was answered: decide anew. */
  async tryOnce(): Promise<HeldLease | undefined> {
    const { store, prefix, random, machine } = this.#options;
    const { held, previous, session } = this.#before;
    const cluster = this.#known ?? new Cluster(prefix, (await store.list(`${prefix}/`)).entries);
    this.#known = undefined;
    const record = cluster.entry(nodeKey(prefix, machine.nodeId));
    const situation = {
      ...this.#wanted,
      ...machine,
      prefix,
      cluster,
      previous,
      session,
      wroteRecord: held !== undefined && record?.modRevision === held.node.modRevision,
      silent: this.#silent,
    };
    const decision = decideLease(situation, random);
    switch (decision.do) {
      case 'ask':
        await this.#ask(decision);
        return undefined;
      case 'wait':
        throw outOfSubnets(this.#wanted.ranges, decision.covering);
      case 'discard':
        await this.#discard(decision.lease);
        return undefined;
      case 'take-over':
        this.#requireStay(decision.lease.subnets);
        return (await this.#adopt(decision.lease, record)) ?? (await this.#takeOver(decision.lease, record));
      case 'create':
        this.#requireStay(decision.subnets);
        return this.#create(decision, record, cluster);
    }
  }

  async #ask({ node, why }: Extract<Decision, { do: 'ask' }>): Promise<void> {
    const { log, machine } = this.#options;
    const other = `${node.hostName} (${addressText(node)})`;
    const claim = why === 'same-machine' ? "this machine's id" : "this host's public address";
    log.info(`${other} has ${claim} in etcd: asking whether it lives`);
    const context = { ...this.#options, asker: machine.processId };
    if (await isAlive(context, node.nodeId)) throw notUnique(why, other, this.#wanted.attributes);
    // Another network card, or another machine? With the address it had it is this one.
    if (why === 'same-machine' && !sharesAddress(this.#wanted.attributes, node))
      throw perhapsCopy(other, node.lease);
    log.warn(`${other} does not answer: going on without regard to it`);
    this.#silent.add(node.nodeId);
  }

  async #discard({ entry: { key, modRevision } }: StoredLease): Promise<void> {
    this.#options.log.warn(`deleting this host's lease ${key}: it does not fit the network config any more`);
    await this.#options.store.transaction([{ key, is: 'unchanged', modRevision }], [{ do: 'delete', key }]);
  }

  /** @throws CorduroyError `conflict` when the host would have to change its subnet, and must not yet */
  #requireStay(subnets: StoredLease['subnets']): void {
    const { previous, mustStay } = this.#before;
    if (mustStay === undefined || !previous.inUse || sameSubnets(subnets, previous.subnets)) return;
    throw conflict(mustStay);
  }

  /** Holds a lease that is this host's to the letter: nothing is written, and peers hear nothing of a restart. */
  async #adopt(lease: StoredLease, record: Entry | undefined): Promise<HeldLease | undefined> {
    const { store, ttl, now } = this.#options;
    const { key, value, leaseId, modRevision } = lease.entry;
    const sessionId = record?.leaseId;
    const isWritten =
      value === formatLeaseValue(this.#wanted.attributes) &&
      record?.value === this.#recordValue(lease.subnets) &&
      (leaseId === undefined || leaseId === sessionId);
    if (!isWritten || record === undefined || sessionId === undefined) return undefined;
    const asked = now();
    try {
      const { grantedTtl } = await store.leaseInfo(sessionId);
      if (grantedTtl !== ttl) return undefined;
      const granted = { id: sessionId, ttl: await store.keepLease(sessionId) };
      const reserved = leaseId === undefined;
      this.#sayTakeOver(lease, reserved);
      const node = { value: record.value, modRevision: record.modRevision };
      return this.#held({ key, subnets: lease.subnets, modRevision, node, reserved }, granted, asked);
    } catch (error) {
      if (isCode(error, 'lease-not-found')) return undefined;
      throw error;
    }
  }

  async #takeOver(lease: StoredLease, record: Entry | undefined): Promise<HeldLease | undefined> {
    const { key, modRevision, leaseId, value } = lease.entry;
    const reserved = leaseId === undefined;
    const isSame = value === formatLeaseValue(this.#wanted.attributes);
    this.#sayTakeOver(lease, reserved);
    const unchanged: Condition = { key, is: 'unchanged', modRevision };
    // A reservation that says what it should is not touched.
    const keep = reserved && isSame ? modRevision : undefined;
    return this.#write({ key, subnets: lease.subnets, reserved, keep }, [unchanged], [], record);
  }

  async #create(
    { subnets, reused, instead }: Extract<Decision, { do: 'create' }>,
    record: Entry | undefined,
    { reservations }: Cluster,
  ): Promise<HeldLease | undefined> {
    const { prefix, log } = this.#options;
    const { configKey, configRevision } = this.#wanted;
    const key = leaseKey(prefix, subnets);
    const conditions: Condition[] = [
      { key, is: 'absent' },
      { key: configKey, is: 'unchanged', modRevision: configRevision },
      ...instead.map(({ entry }) => unchangedSince(entry)),
    ];
    // What was reserved for this host stays so, as far as the network config lets it.
    const reserved = instead.filter(({ entry }) => entry.leaseId === undefined);
    const moves = reserved.flatMap(({ subnets: before }): Operation[] => {
      const reservation = reservations.get(leaseName(before));
      return reservation === undefined
        ? []
        : [
            { do: 'delete', key: reservationKey(prefix, leaseName(before)) },
            {
              do: 'put',
              key: reservationKey(prefix, leaseName(subnets)),
              value: formatReservation(reservation),
            },
          ];
    });
    const deletions = instead.map(({ entry }): Operation => ({ do: 'delete', key: entry.key }));
    const lease = { key, subnets, reserved: reserved.length > 0, keep: undefined };
    const held = await this.#write(lease, conditions, [...deletions, ...moves], record);
    if (held === undefined) await this.#requireConfig();
    else log.info(`leased ${subnets.join(' and ')}${sayBefore(reused, instead)}`);
    return held;
  }

  /**
   * Lease and record in one transaction. What is deleted goes first: etcd tells of a transaction in the order of its
   * operations, and flannel, which handles that key by key, would take a subnet that the new key names, too, for gone.
   */
  async #write(
    lease: {
      readonly key: string;
      readonly subnets: StoredLease['subnets'];
      readonly reserved: boolean;
      /** The revision at which the key already says what it should. */
      readonly keep: Revision | undefined;
    },
    conditions: readonly Condition[],
    others: readonly Operation[],
    record: Entry | undefined,
  ): Promise<HeldLease | undefined> {
    const { store, prefix, machine, now } = this.#options;
    const { key, subnets, reserved, keep } = lease;
    const asked = now();
    const granted = await this.grant.get();
    const recordKey = nodeKey(prefix, machine.nodeId);
    const recordValue = this.#recordValue(subnets);
    const value = formatLeaseValue(this.#wanted.attributes);
    const puts: Operation[] = [
      ...(keep === undefined
        ? [{ do: 'put', key, value, ...(!reserved && { leaseId: granted.id }) } as const]
        : []),
      { do: 'put', key: recordKey, value: recordValue, leaseId: granted.id },
    ];
    const unchangedRecord: Condition = record ? unchangedSince(record) : { key: recordKey, is: 'absent' };
    const { succeeded, revision } = await this.grant.usedBy(() =>
      store.transaction([...conditions, unchangedRecord], [...others, ...puts]),
    );
    if (!succeeded) return undefined;
    const node = { value: recordValue, modRevision: revision };
    return this.#held({ key, subnets, modRevision: keep ?? revision, node, reserved }, granted, asked);
  }

  #held(
    lease: Pick<HeldLease, 'key' | 'subnets' | 'modRevision' | 'node' | 'reserved'>,
    { id, ttl }: { readonly id: HeldLease['session']['id']; readonly ttl: number },
    asked: number,
  ): HeldLease {
    const session = sessionOf(id, ttl, this.#options.renewMargin, asked);
    return { ...lease, attributes: this.#wanted.attributes, session };
  }

  #recordValue(subnets: StoredLease['subnets']): string {
    return recordValue(this.#options.machine, this.#wanted, subnets);
  }

  #sayTakeOver({ subnets }: StoredLease, reserved: boolean): void {
    const what = reserved ? 'a reservation for this host' : "this host's own lease";
    this.#options.log.info(`taking over ${subnets.join(' and ')}, ${what}`);
  }

  /** @throws CorduroyError `conflict` when the network config is not what the subnet was chosen by */
  async #requireConfig(): Promise<void> {
    const { configKey, configRevision } = this.#wanted;
    const config = await this.#options.store.get(configKey);
    if (config?.modRevision === configRevision) return;
    throw conflict(`the network config ${configKey} changed while a subnet was leased: starting anew`);
  }
}

/** What this machine's record says when it holds these subnets. */
export function recordValue(
  machine: Machine,
  { attributes, capabilities, hardware }: Wanted,
  subnets: StoredLease['subnets'],
): string {
  const { publicIp, publicIpv6 } = attributes;
  const lease = leaseName(subnets);
  return formatNodeValue({ ...machine, capabilities, hardware, publicIp, publicIpv6, lease });
}

/** What a subnet is, beside new. */
function sayBefore(reused: boolean, instead: readonly StoredLease[]): string {
  if (reused) return ', the subnet this host had';
  return instead.length === 0
    ? ''
    : `, in place of ${instead.map(({ subnets }) => subnets.join(' and ')).join(', ')}`;
}

function addressText({ publicIp, publicIpv6 }: PublicAddresses): string {
  return String(publicIp ?? publicIpv6 ?? 'no address');
}

function unchangedSince({ key, modRevision }: Entry): Condition {
  return { key, is: 'unchanged', modRevision };
}

function perhapsCopy(other: string, lease: string): CorduroyError {
  return new CorduroyError(
    'not-unique',
    `etcd knows ${other} by this machine's id, with another network card and address, and it does not answer. If this machine ` +
      `is a copy of its disk, ${NEW_ID}. If it is that machine itself, changed: ` +
      `corduroy leases revoke ${lease.replaceAll('-', '/').replace('&', ' ')} --force`,
    { retryable: true },
  );
}

const NEW_ID =
  'give it an id of its own: rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup, then restart corduroyd';

function conflict(text: string): CorduroyError {
  return new CorduroyError('conflict', text, { retryable: true });
}

function outOfSubnets(ranges: readonly SubnetRange[], covering: readonly string[]): CorduroyError {
  const textOf = (range: SubnetRange) =>
    `all ${subnetCount(range)} subnets of ${range.network} from ${range.subnetMin} to ${range.subnetMax}`;
  return new CorduroyError(
    'out-of-subnets',
    `out of subnets: ${ranges.map(textOf).join(', or ')} are leased` +
      `${covering.length > 0 ? `, many of them by ${printable(covering.join(', '))}, which is no subnet of this network` : ''}. ` +
      'See them with: corduroy leases list. This host takes the first that is freed',
    { retryable: true },
  );
}

function notUnique(
  why: 'same-machine' | 'same-address',
  other: string,
  mine: LeaseAttributes,
): CorduroyError {
  const address = addressText(mine);
  const text =
    why === 'same-address'
      ? `the public address ${address} of this host is published by another one that lives, ${other}. Behind a NAT (as on ` +
        "Vagrant's first interface) every machine has the same: choose the interface that the hosts reach each other by " +
        'with --iface, or the address with --public-ip'
      : `another machine that lives, ${other}, has the machine-id of this one: this one is a copy of its disk. So ${NEW_ID}`;
  return new CorduroyError('not-unique', text, { retryable: true });
}
