import { createHash, randomUUID } from 'node:crypto';
import type { SubnetRange } from '../../../src/config/network-config.ts';
import type { RandomInt } from '../../../src/ipam/pick-subnet.ts';
import type { Wanted } from '../../../src/lease/acquire.ts';
import { Cluster as ClusterState } from '../../../src/lease/cluster.ts';
import type { HeldLease } from '../../../src/lease/held-lease.ts';
import { LeaseKeeper } from '../../../src/lease/lease-keeper.ts';
import type { LeaseAttributes } from '../../../src/lease/lease-record.ts';
import { type NodeId, nodeKey } from '../../../src/lease/node-record.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { Entry, LeaseId } from '../../../src/store/store.ts';
import { attributes, CONFIG_KEY, FOUR, PREFIX, value } from './fixtures.ts';
import { HookedStore } from './hooked-store.ts';
import { RecordedLog } from './recorded-log.ts';

export const FOLDER = `${PREFIX}/subnets/`;
export const ME = '192.0.2.1';
export const OTHER = '192.0.2.2';

interface HostOptions {
  readonly publicIp?: string;
  readonly attributes?: LeaseAttributes;
  readonly previous?: readonly string[];
  readonly ttl?: number;
  readonly renewMargin?: number;
  readonly random?: RandomInt;
  readonly ranges?: readonly SubnetRange[];
  /** By default each public address is a machine. */
  readonly nodeId?: NodeId;
  readonly hostName?: string;
  readonly hardware?: string;
  /** The previous subnets are set up on the host. */
  readonly inUse?: boolean;
}

export function nodeIdOf(text: string): NodeId {
  return createHash('sha256').update(text).digest('hex').slice(0, 32) as NodeId;
}

export const first: RandomInt = () => 0;
export const last: RandomInt = (bound) => bound - 1;

/** The last one, and from then on the first: whoever picks anew gets another subnet. */
export function lastThenFirst(): RandomInt {
  let picked = false;
  return (bound) => {
    if (picked) return 0;
    picked = true;
    return bound - 1;
  };
}

/** A network of four subnets, kept in a store whose time the test moves. */
export class Cluster {
  readonly clock = { ms: 0 };
  readonly store = new HookedStore({ clock: () => this.clock.ms });
  #hosts: Host[] = [];
  /** Of the network config, as the hosts know it. */
  configRevision = 0n;

  static async create(): Promise<Cluster> {
    const cluster = new Cluster();
    cluster.configRevision = (await cluster.put(CONFIG_KEY, '{}')).modRevision;
    return cluster;
  }

  /** Time passes, for etcd and for the hosts. */
  pass(seconds: number): void {
    this.clock.ms += seconds * 1000;
    this.store.advance(0);
  }

  host(options: HostOptions = {}): Host {
    const host = new Host(this, options);
    this.#hosts.push(host);
    return host;
  }

  /** Those that no longer do anything: they answer nobody. */
  stop(...hosts: readonly Host[]): void {
    this.#hosts = this.#hosts.filter((host) => !hosts.includes(host));
  }

  /** Time passes for one host, and the others live on. */
  async sleep(milliseconds: number): Promise<void> {
    this.pass(milliseconds / 1000);
    const state = await this.state();
    for (const { keeper } of this.#hosts) await keeper.answerChallenges(state);
  }

  /** Writes a key, whatever stands there, as flannel does. @returns the entry */
  async put(key: string, content: string, leaseId?: LeaseId): Promise<Entry> {
    const { beforeTransaction } = this.store;
    this.store.beforeTransaction = undefined;
    await this.store.transaction([], [{ do: 'put', key, value: content, ...(leaseId && { leaseId }) }]);
    this.store.beforeTransaction = beforeTransaction;
    return this.entry(key);
  }

  /** A lease of another host, or of one's own from an earlier life. */
  async lease(name: string, content = value(OTHER), ttl = 86_400): Promise<Entry> {
    const { id } = await this.store.grantLease(ttl);
    return this.put(FOLDER + name, content, id);
  }

  async reserve(name: string, content = value(OTHER)): Promise<Entry> {
    return this.put(FOLDER + name, content);
  }

  async delete(name: string): Promise<void> {
    await this.store.transaction([], [{ do: 'delete', key: FOLDER + name }]);
  }

  async entry(key: string): Promise<Entry> {
    const found = await this.store.get(key);
    if (found === undefined) throw new Error(`there is no ${key}`);
    return found;
  }

  /** What the machine says of itself in etcd. */
  async record({ nodeId }: Host): Promise<Entry> {
    return this.entry(nodeKey(PREFIX, nodeId));
  }

  /** Names of all leases, and whose they are: `10.5.1.0-24 192.0.2.1`. */
  async leases(): Promise<string[]> {
    const { entries } = await this.store.list(FOLDER);
    return entries.map(({ key, value: text }) => {
      const { PublicIP: ip } = JSON.parse(text) as { PublicIP: string };
      return `${key.slice(FOLDER.length)} ${ip}`;
    });
  }

  async state(): Promise<ClusterState> {
    return new ClusterState(PREFIX, (await this.store.list(`${PREFIX}/`)).entries);
  }
}

export class Host {
  readonly keeper: LeaseKeeper;
  readonly log = new RecordedLog();
  readonly nodeId: NodeId;
  #options: HostOptions;
  readonly #cluster: Cluster;
  #seen = 0n;
  /** Everything under the prefix as the watch has last shown it. */
  seen: ClusterState | undefined;

  constructor(cluster: Cluster, options: HostOptions) {
    this.#cluster = cluster;
    this.#options = options;
    const { ttl = 86_400, renewMargin = 3600, random = first, previous = [], inUse = false } = options;
    const { publicIp = ME, nodeId = nodeIdOf(publicIp), hostName = `host-${publicIp}` } = options;
    this.nodeId = nodeId;
    this.keeper = new LeaseKeeper(
      {
        store: cluster.store,
        prefix: PREFIX,
        machine: { nodeId, hostName, version: '1.0.0', processId: randomUUID() },
        ttl,
        renewMargin,
        random,
        now: () => cluster.clock.ms,
        sleep: async (milliseconds) => cluster.sleep(milliseconds),
        log: this.log,
      },
      { subnets: previous.map(Prefix.parse), inUse },
    );
  }

  /** @param seen what the host goes by; by default it reads what there is */
  async ensure(seen?: ClusterState): Promise<HeldLease> {
    return this.keeper.ensure(this.wanted(), seen);
  }

  wanted(): Wanted {
    const { ranges = FOUR, publicIp = ME, attributes: given = attributes(publicIp) } = this.#options;
    const { hardware = `of ${this.nodeId}` } = this.#options;
    const { configRevision } = this.#cluster;
    return {
      ranges,
      configKey: CONFIG_KEY,
      configRevision,
      attributes: given,
      capabilities: ['ecn'],
      hardware,
    };
  }

  /** The host itself changes: its address, the network config it goes by. */
  become(options: Partial<HostOptions>): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Monotonic milliseconds. */
  get dueAt(): number {
    return this.keeper.dueAt(this.wanted());
  }

  /** The subnet it holds then. */
  async subnet(): Promise<string> {
    return (await this.ensure()).subnets.join(' ');
  }

  /** What the daemon does when its watch begins anew, as it does after a restore; other events tell it less. */
  async observe(): Promise<void> {
    const { revision } = await this.#cluster.store.list(PREFIX);
    const state = await this.#cluster.state();
    if (revision < this.#seen) this.keeper.doubt();
    else this.keeper.compare(revision);
    this.#seen = revision;
    this.seen = state;
    this.keeper.observe(state, revision);
    await this.keeper.answerChallenges(state);
  }
}
