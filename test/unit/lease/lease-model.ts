import fc from 'fast-check';
import { RESTORE_GRACE } from '../../../src/lease/lease-keeper.ts';
import type { MemorySnapshot } from '../../../src/store/memory.ts';
import { Cluster, FOLDER, first, type Host, last, nodeIdOf } from './cluster.ts';
import { PREFIX, rangesOf, value } from './fixtures.ts';

/** Nobody is ever without a subnet for want of room. */
const RANGES = rangesOf({ Network: '10.5.0.0/16', SubnetMax: '10.5.64.0' });
const HOSTS = 4;

const host = fc.nat({ max: HOSTS - 1 });
const third = fc.constantFrom(1, 2, 3, 4, 61, 62, 63, 64);

/** What happens to hosts and to etcd, and is nobody's taking of another's subnet. */
const accident = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('work' as const), host }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('work all' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('work behind' as const), host }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('observe' as const), host }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.nat({ max: 90_000 }) }) },
  fc.record({ do: fc.constant('away' as const) }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('back' as const) }) },
  fc.record({ do: fc.constant('lose answer' as const) }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const), host }) },
  fc.record({ do: fc.constant('change address' as const), host }),
  fc.record({ do: fc.constant('delete lease' as const), host }),
  fc.record({ do: fc.constant('delete record' as const), host }),
  fc.record({ do: fc.constant('garbage' as const), host, leased: fc.boolean() }),
  fc.record({ do: fc.constant('garbage record' as const), host, leased: fc.boolean() }),
  fc.record({ do: fc.constant('backup' as const) }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restore' as const) }) },
);

/** Somebody else writes: a flanneld that takes what is free, or a hand that overwrites. */
const attack = fc.oneof(
  fc.record({ do: fc.constant('others lease' as const), third }),
  fc.record({ do: fc.constant('overwrite' as const), host, leased: fc.boolean() }),
);

export type Step = typeof accident | typeof attack extends fc.Arbitrary<infer T> ? T : never;

export const accidents = fc.array(accident, { minLength: 5, maxLength: 40 });
export const everything = fc.array(
  fc.oneof({ weight: 5, arbitrary: accident }, { weight: 1, arbitrary: attack }),
  { minLength: 5, maxLength: 40 },
);

/** Hosts that live on one store, each doing what its daemon does; what they must never do is an exception. */
export class Model {
  readonly cluster: Cluster;
  readonly hosts: Host[] = [];
  /** What each has said of a subnet it had to change, and why it was right. */
  readonly moves: string[] = [];
  #addresses = 10;
  #backup: MemorySnapshot;

  static async create(): Promise<Model> {
    const model = new Model(await Cluster.create());
    await model.step({ do: 'work all' });
    return model;
  }

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.#backup = cluster.store.snapshot();
    for (let index = 0; index < HOSTS; index++) {
      this.hosts.push(
        cluster.host({
          nodeId: nodeIdOf(`machine ${index}`),
          publicIp: this.#newAddress(),
          ranges: RANGES,
          random: index % 2 ? first : last,
        }),
      );
    }
  }

  async step(step: Step): Promise<void> {
    const { cluster } = this;
    const { store } = cluster;
    const chosen = 'host' in step ? this.#host(step.host) : undefined;
    switch (step.do) {
      case 'work':
        return this.#work(step.host);
      case 'work behind':
        return this.#workBehind(step.host);
      case 'work all':
        for (let index = 0; index < HOSTS; index++) await this.#work(index);
        return;
      case 'observe':
        await chosen?.observe().catch(requireUnavailable);
        return;
      case 'pass':
        return cluster.pass(step.seconds);
      case 'away':
        return store.setAvailable(false);
      case 'back':
        return store.setAvailable(true);
      case 'lose answer':
        return store.loseNextAnswer();
      case 'restart':
        return this.#restart(step.host);
      case 'change address':
        return chosen?.become({ publicIp: this.#newAddress() });
      case 'backup':
        this.#backup = store.snapshot();
        return;
      case 'restore':
        return store.restore(this.#backup);
      default:
        await this.#interfere(step).catch(requireUnavailable);
    }
  }

  /** All is well from now on: everybody works, for longer than anybody has to wait. */
  async settle(): Promise<void> {
    this.cluster.store.setAvailable(true);
    for (let waited = 0; waited < RESTORE_GRACE + 10_000; waited += 1000) {
      await this.step({ do: 'work all' });
      this.cluster.pass(1);
    }
  }

  /** Subnets by host, each as etcd has it now: whoever believes to hold what etcd does not say is a defect. */
  async holdings(): Promise<string[]> {
    return Promise.all(
      this.hosts.map(async ({ keeper, nodeId }, index) => {
        const { held, state } = keeper;
        const record = await this.cluster.store.get(`${PREFIX}/corduroy/nodes/${nodeId}`);
        const entry = held && (await this.cluster.store.get(held.key));
        const isTrue =
          state.name === 'held' &&
          entry?.modRevision === held?.modRevision &&
          entry?.value === value(this.#host(index).wanted().attributes.publicIp?.toString() ?? '') &&
          record?.modRevision === held?.node.modRevision &&
          record?.leaseId === held?.session.id;
        return isTrue ? keeper.subnets.join(' ') : `host ${index} is ${state.name}: ${state.reason}`;
      }),
    );
  }

  /** What the daemon does in a round. */
  async #work(index: number): Promise<void> {
    await this.#watched(index, async (one) => {
      await one.observe();
      if (one.dueAt <= this.cluster.clock.ms) await one.ensure(one.seen);
      await one.observe(); // Its own write, as the watch shows it.
    });
  }

  /** The same, where the watch has not yet shown what came since the last look. */
  async #workBehind(index: number): Promise<void> {
    await this.#watched(index, async (one) => {
      if (one.dueAt <= this.cluster.clock.ms) await one.ensure(one.seen);
    });
  }

  /** What a host does, and whether it has to change its subnet by that, and may. */
  async #watched(index: number, work: (one: Host) => Promise<void>): Promise<void> {
    const one = this.#host(index);
    const before = one.keeper.isInUse ? one.keeper.subnets.join(' ') : '';
    try {
      await work(one);
    } catch (error) {
      if (!['store-unavailable', 'conflict'].includes((error as { code: string }).code)) throw error;
    }
    const after = one.keeper.subnets.join(' ');
    if (before === '' || before === after) return;
    const standing = await this.cluster.store.get(FOLDER + before.replace('/', '-'));
    const own = one.wanted().attributes.publicIp?.toString() ?? '';
    const isAnothers = standing?.value.includes('PublicIP') === true && !standing.value.includes(`"${own}"`);
    this.moves.push(`${before} to ${after}${isAnothers ? '' : ', though it was nobody’s'}`);
  }

  /** The daemon ends, however, and another starts, which knows from disk what was in use. */
  #restart(index: number): void {
    const old = this.#host(index);
    const options = {
      nodeId: old.nodeId,
      publicIp: old.wanted().attributes.publicIp?.toString() ?? '',
      ranges: RANGES,
      random: first,
    };
    this.cluster.stop(old);
    const next = this.cluster.host(options);
    if (old.keeper.isInUse) {
      next.keeper.recall(old.keeper.subnets);
      next.keeper.remember();
    }
    this.hosts[index] = next;
  }

  async #interfere(step: Step): Promise<void> {
    const { cluster } = this;
    const target = 'host' in step ? this.#host(step.host) : undefined;
    const name = target?.keeper.subnets.join('&').replaceAll('/', '-') ?? '';
    switch (step.do) {
      case 'delete lease':
        return cluster.delete(name);
      case 'delete record': {
        // Before and after: without its record, a host that gets a new address and a new daemon at once is a stranger.
        if ('host' in step) await this.#work(step.host);
        const key = `${PREFIX}/corduroy/nodes/${target?.nodeId}`;
        await cluster.store.transaction([], [{ do: 'delete', key }]).catch(requireUnavailable);
        return 'host' in step ? this.#work(step.host) : undefined;
      }
      case 'garbage record': {
        // Before and after, as above.
        if ('host' in step) await this.#work(step.host);
        const key = `${PREFIX}/corduroy/nodes/${target?.nodeId}`;
        const leaseId = step.leased ? target?.keeper.held?.session.id : undefined;
        await cluster.put(key, 'garbage', leaseId).catch(requireUnavailable);
        return 'host' in step ? this.#work(step.host) : undefined;
      }
      case 'garbage':
        await (step.leased ? cluster.lease(name, 'garbage', 100) : cluster.reserve(name, 'garbage'));
        return;
      case 'overwrite': {
        const theirs = value(this.#newAddress());
        await (step.leased ? cluster.lease(name, theirs, 100) : cluster.reserve(name, theirs));
        return;
      }
      case 'others lease': {
        const { id } = await cluster.store.grantLease(86_400);
        const key = `${FOLDER}10.5.${step.third}.0-24`;
        const theirs = value(this.#newAddress());
        await cluster.store.transaction(
          [{ key, is: 'absent' }],
          [{ do: 'put', key, value: theirs, leaseId: id }],
        );
      }
    }
  }

  #host(index: number): Host {
    const found = this.hosts[index];
    if (found === undefined) throw new Error(`there is no host ${index}`);
    return found;
  }

  /** Never one that anybody had before. */
  #newAddress(): string {
    const number = this.#addresses++;
    return `192.0.${2 + Math.floor(number / 250)}.${(number % 250) + 1}`;
  }
}

function requireUnavailable(error: unknown): void {
  if ((error as { code?: string }).code !== 'store-unavailable') throw error;
}
