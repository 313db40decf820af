import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../src/errors.ts';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { Patience } from './cpu-pressure.ts';
import { EtcdCluster } from './etcd-cluster.ts';
import { contentKey, differenceFrom, etcdContent } from './etcd-content.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from './lab.ts';
import { type Outage, type PingEnd, pingAll, stopAll } from './ping-watch.ts';

/** Why a lab with a cluster cannot be made on this machine, or `undefined`. */
export function clusterObstacle(): string | undefined {
  const missing = ['openssl', 'strace', 'setpriv'].filter((tool) => spawnSync(tool, ['--version']).error);
  return labObstacle() ?? (missing.length === 0 ? undefined : `needs ${missing.join(', ')}`);
}

/** What came of a fault. */
export interface Harm {
  readonly outages: readonly Outage[];
  /** Hosts whose subnet has changed. */
  readonly moved: readonly string[];
}

export const NO_HARM: Harm = { outages: [], moved: [] };

/** A lab around three etcd members, with what tests do to its hosts. */
export class ClusterLab {
  readonly cluster: EtcdCluster;
  readonly test: TestLab;
  /** Daemons that run, or should. */
  readonly hosts: LabHost[] = [];
  readonly #addresses = new Map<LabHost, string>();

  private constructor(cluster: EtcdCluster, test: TestLab) {
    this.cluster = cluster;
    this.test = test;
  }

  /** @param settings CORDUROYD_* variables for all daemons */
  static async start(hostCount: number, settings: Record<string, string> = {}): Promise<ClusterLab> {
    let cluster: EtcdCluster | undefined;
    let test: TestLab | undefined;
    try {
      test = await TestLab.start({}, async (spec) => {
        cluster = await EtcdCluster.start(spec);
        const { access, adminAccess } = cluster.access;
        return { access: { ...access, ...settings }, adminAccess };
      });
      if (cluster === undefined) throw new Error('the lab has started without its etcd');
      const lab = new ClusterLab(cluster, test);
      lab.hosts.push(...(await test.addHosts(hostCount)));
      await lab.converged(15_000);
      return lab;
    } catch (error) {
      await test?.remove();
      cluster?.remove();
      throw error;
    }
  }

  /** Undoes what a test that failed has left of its fault, and waits until all daemons follow. */
  async mend(): Promise<void> {
    for (const member of this.cluster.members) {
      member.cont();
      await member.setLink('up');
      if (!member.isRunning) this.cluster.restart(member);
    }
    await this.cluster.healthy();
    await this.follows(30_000);
  }

  async remove(): Promise<void> {
    for (const member of this.cluster.members) member.cont();
    await this.test.remove();
    this.cluster.remove();
  }

  /** The containers of all hosts, to ping. */
  async containers(): Promise<PingEnd[]> {
    return await Promise.all(
      this.hosts.map(async (host) => {
        const address = containerAddress([await this.test.subnet(host)]);
        return { name: host.name, namespace: host.container.namespace, address };
      }),
    );
  }

  /** How daemons and data planes differ from what etcd holds, a sentence each. @throws while etcd does not answer */
  async differences(): Promise<string[]> {
    const content = await etcdContent(this.cluster);
    const differences = await Promise.all(
      this.hosts.map(async (host) => {
        const status = await this.test.status(host).catch((error: unknown) => messageOf(error));
        const difference = typeof status === 'string' ? status : differenceFrom(content, status);
        return difference === undefined ? [] : [`${host.name}: ${difference}`];
      }),
    );
    return differences.flat();
  }

  /**
   * Waits until every daemon's peers and every data plane's routes are what etcd holds.
   * @param timeout as Patience has it
   * @returns milliseconds it took, by the clock
   * @throws after the time, saying what still differs
   */
  async converged(timeout = 5000): Promise<number> {
    const patience = new Patience(timeout);
    for (;;) {
      // A question that was asked in time may be answered late on a busy machine.
      const { elapsed, isOver } = patience;
      const differences = await this.differences().catch((error: unknown) => [messageOf(error)]);
      if (differences.length === 0) return elapsed;
      if (isOver) {
        const time = `${timeout} ms (${Math.round(elapsed)} ms on this busy machine)`;
        throw new Error(`not within ${time}: ${differences.join('; ')}`);
      }
      await sleep(50);
    }
  }

  /**
   * Waits until all is as etcd holds it, and proves that every daemon really follows: a lease comes and goes.
   * @param timeout for each of the three
   * @returns milliseconds that the slowest of the three took
   */
  async follows(timeout = 5000): Promise<number> {
    const settled = await this.converged(timeout);
    const taken = (await etcdContent(this.cluster)).map(({ subnet }) => subnet);
    const free = Array.from({ length: 256 }, (_, third) => `10.244.${255 - third}.0/24`);
    const probe = contentKey(free.find((subnet) => !taken.includes(subnet)) ?? '');
    // flanneld's form: a lease without a record beside it.
    await this.cluster.etcdctl('put', probe, '{"PublicIP":"192.0.2.239","PublicIPv6":null}');
    const came = await this.converged(timeout);
    await this.cluster.etcdctl('del', probe);
    return Math.round(Math.max(settled, came, await this.converged(timeout)));
  }

  /**
   * Makes a daemon miss changes that etcd then forgets: it stands still while a key is written so often that what it
   * has to be told fits no buffer on the way, and the rest is compacted away.
   * @param lasts milliseconds that it stands still at least
   */
  async compactUnder(host: LabHost, lasts = 0): Promise<void> {
    const { pid } = await this.test.status(host);
    const ballast = `${NETWORK_PREFIX}/ballast`;
    process.kill(pid, 'SIGSTOP');
    try {
      await Promise.all([sleep(lasts), this.cluster.putMany(ballast, 200, 20_000)]);
      await this.cluster.etcdctl('del', ballast);
      await this.cluster.compact();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  /**
   * Pings between all hosts while something happens, which must have been undone at its end; then waits until all daemons
   * follow etcd and none has a problem.
   */
  async harmOf(fault: () => Promise<void>): Promise<Harm> {
    const subnets = () => Promise.all(this.hosts.map((host) => this.test.subnet(host)));
    const before = await subnets();
    const pings = pingAll(await this.containers());
    let outages: Outage[] = [];
    try {
      await fault();
      await this.follows();
    } finally {
      outages = await stopAll(pings);
    }
    const problems = async () => (await Promise.all(this.hosts.map((host) => this.problems(host)))).join('');
    await until('nobody has a problem', async () => (await problems()) === '');
    const after = await subnets();
    const moved = this.hosts.filter((_, index) => before[index] !== after[index]).map(({ name }) => name);
    return { outages, moved };
  }

  async problems(host: LabHost): Promise<string> {
    return (await this.test.status(host)).problems.join('; ');
  }

  /** Ends a daemon as a crash would. Its data plane lives on. */
  async killDaemon(host: LabHost): Promise<void> {
    await this.test.endDaemon(host, 'SIGKILL');
  }

  startDaemon(host: LabHost): void {
    this.test.lab.startDaemon(host);
  }

  /** What eth0 of a host has now. */
  addressOf(host: LabHost): string {
    return this.#addresses.get(host) ?? host.address;
  }

  /** Gives a host another address in the place of the one it has, as a DHCP server might. */
  async changeAddress(host: LabHost, address: string): Promise<void> {
    const before = this.addressOf(host);
    await this.test.on(host, 'ip', 'address', 'delete', `${before}/24`, 'dev', 'eth0');
    await this.test.on(host, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
    await this.test.on(host, 'ip', 'route', 'replace', 'default', 'via', '192.0.2.254');
    this.#addresses.set(host, address);
  }
}
