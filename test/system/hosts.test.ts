import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/lab.ts';
import { hostObstacle, type NspawnHost } from '../support/nspawn.ts';
import { joinLine, statusOf, TwoHosts } from '../support/nspawn-cluster.ts';
import { Container, loadBusybox } from '../support/nspawn-docker.ts';
import { footprint, leftBehind } from '../support/nspawn-footprint.ts';
import { type Healing, healing, table } from '../support/nspawn-healing.ts';
import { WORLD } from '../support/nspawn-lan.ts';
import { debObstacle, installDeb, laterDeb } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();
/** Of an IP and an ICMP header: what a ping has besides its data. */
const HEADERS = 28;

/** From nothing to containers that reach each other, and what may happen to the hosts then. */
describe.skipIf(obstacle)(`two hosts with systemd and Docker ${obstacle ?? ''}`, () => {
  let cluster: TwoHosts;
  let one: NspawnHost;
  let two: NspawnHost;
  /** A container on each. */
  let c1: Container;
  let c2: Container;
  let addresses: readonly string[];
  const measured: Healing[] = [];
  const before = new Map<string, Set<string>>();

  beforeAll(async () => {
    cluster = await TwoHosts.start(async (host) => {
      // A Docker that was there first: it has set the FORWARD chain's policy to DROP.
      await host.run('systemctl', 'enable', '--now', 'docker');
      before.set(host.name, await footprint(host));
    });
    [one, two] = cluster.hosts;
    try {
      await cluster.healthy();
      for (const host of cluster.hosts) {
        await host.run('corduroy', 'docker', 'configure', '--how', 'options', '--yes', '--restart');
        await loadBusybox(host);
      }
      [c1, c2] = [await Container.start(one, 'c1'), await Container.start(two, 'c2')];
      addresses = await currentAddresses();
      await cluster.healthy();
    } catch (error) {
      throw new Error(`${String(error)}\n${await cluster.journals()}`);
    }
  });
  afterAll(async () => {
    if (measured.length > 0) process.stdout.write(`\n${table(measured)}\n`);
    await cluster?.remove();
  });
  let told = false;
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail' || told) return;
    told = true;
    process.stderr.write(`${await cluster.journals()}\n`);
  });

  const currentAddresses = async () => await Promise.all([c1.address(), c2.address()]);

  it('is set up by two commands, of which the first prints the second', async () => {
    expect(cluster.init).toMatchObject({ code: 0 });
    expect(joinLine(cluster.init.stdout)).toMatch(/^corduroy join \S+$/);
    expect(cluster.join).toMatchObject({ code: 0 });
    for (const host of cluster.hosts) {
      expect(await host.settled()).toBe('running');
      expect((await statusOf(host)).peers).toHaveLength(1);
    }
  });

  it('gives Docker its subnet, and containers of two hosts reach each other at the full MTU', async () => {
    for (const [index, host] of cluster.hosts.entries()) {
      const { lease, mtu = 0 } = await statusOf(host);
      expect(addresses[index]).toBe(lease?.subnets[0]?.replace(/\.0\/24$/, '.2'));
      const [container = c1, other = ''] = index === 0 ? [c1, addresses[1]] : [c2, addresses[0]];
      await until('pings are answered', () => container.reaches(other));
      expect(await container.reaches(other, { size: mtu - HEADERS })).toBe(true);
      // What Docker does to everybody else's packets.
      expect(await host.run('iptables', '-S', 'FORWARD')).toContain('-P FORWARD DROP');
    }
    await cluster.healthy();
  });

  it('moves a file from container to container, and each sees the address of the other', async () => {
    await c1.run('dd', 'if=/dev/urandom', 'of=/srv/file', 'bs=1M', 'count=64');
    const sum = async (container: Container, file: string) =>
      (await container.run('sha256sum', file)).split(' ')[0];
    await c2.run('wget', '-q', '-O', '/tmp/file', `http://${addresses[0]}/file`);
    expect(await sum(c2, '/tmp/file')).toBe(await sum(c1, '/srv/file'));
    expect(await c1.log()).toMatch(new RegExp(`${addresses[1]?.replaceAll('.', '\\.')}\\]?:\\d+: url:/file`));
  });

  it('lets containers reach the world, which knows nothing of their network', async () => {
    for (const container of [c1, c2]) expect(await container.reaches(WORLD)).toBe(true);
  });

  describe('heals by itself', () => {
    /** Disturbs the second host, mostly, while the first one's container pings its container. */
    const heals = async (
      what: string,
      disturb: (nowItCanHeal: () => void) => Promise<unknown>,
      { from = c1, timeout = 30_000 } = {},
    ): Promise<Healing> => {
      const to = addresses[from === c1 ? 1 : 0] ?? '';
      const result = await healing(what, from, to, disturb, timeout);
      measured.push(result);
      await cluster.healthy(40_000);
      expect(await currentAddresses()).toEqual(addresses);
      for (const container of [c1, c2])
        await until('the world is in reach', () => container.reaches(WORLD), 5000);
      return result;
    };

    it('corduroyd restarts', async () => {
      const { lost } = await heals('systemctl restart corduroyd', () =>
        two.run('systemctl', 'restart', 'corduroyd'),
      );
      expect(lost).toBe(0);
    });

    it('corduroyd crashes', async () => {
      const { lost } = await heals('corduroyd killed', () =>
        two.run('systemctl', 'kill', '-s', 'KILL', 'corduroyd'),
      );
      expect(lost).toBe(0);
    });

    it('the data plane restarts', async () => {
      const { outage } = await heals('systemctl restart corduroy-datapath', () =>
        two.run('systemctl', 'restart', 'corduroy-datapath'),
      );
      expect(outage).toBeLessThan(2000);
    });

    it('the data plane crashes', async () => {
      const { outage } = await heals('data plane killed', () =>
        two.run('systemctl', 'kill', '-s', 'KILL', 'corduroy-datapath'),
      );
      expect(outage).toBeLessThan(2000);
    });

    it('Docker restarts', async () => {
      await heals('systemctl restart docker', () => two.run('systemctl', 'restart', 'docker'));
    });

    it('somebody flushes the FORWARD chain', async () => {
      const { healedAfter } = await heals('iptables -F FORWARD', () => two.run('iptables', '-F', 'FORWARD'));
      expect(healedAfter).toBeLessThan(2000);
    });

    it('somebody flushes all rules', async () => {
      const { healedAfter } = await heals('nft flush ruleset', () => two.run('nft', 'flush', 'ruleset'));
      expect(healedAfter).toBeLessThan(2000);
    });

    it('all of it restarts at once, in any order', async () => {
      await heals('restart docker, data plane and corduroyd at once', () =>
        two.run('systemctl', 'restart', 'docker', 'corduroy-datapath', 'corduroyd'),
      );
    });

    it('a host is off for a while', async () => {
      await heals(
        'power off and on',
        async (nowItCanHeal) => {
          await two.powerOff();
          nowItCanHeal();
          await two.boot();
        },
        { timeout: 60_000 },
      );
      expect(await two.settled()).toBe('running');
    });

    it('the host that runs etcd loses its power', async () => {
      await heals(
        'plug of the etcd host pulled, and back in',
        async (nowItCanHeal) => {
          await one.cutPower();
          nowItCanHeal();
          await one.boot();
        },
        { from: c2, timeout: 60_000 },
      );
      expect(await one.settled()).toBe('running');
    });

    it('the package is upgraded', async () => {
      const later = await laterDeb(two, '9.0.0');
      const { pid } = await statusOf(two);
      const { lost } = await heals('package upgraded', async () => {
        await two.run('dpkg', '--install', later);
        await until('another daemon runs', async () => {
          const now = await statusOf(two).catch(() => undefined);
          return now?.ready === true && now.pid !== pid;
        });
      });
      expect(lost).toBe(0);
      await installDeb(two);
    });
  });

  it('serves Docker in the other ways, too', async () => {
    for (const [how, network] of [
      ['daemon-json', 'bridge'],
      ['network', 'corduroy'],
    ] as const) {
      for (const [host, name] of [
        [one, 'c1'],
        [two, 'c2'],
      ] as const) {
        await host.run('docker', 'rm', '-f', name);
        await host.run('corduroy', 'docker', 'configure', '--how', how, '--yes', '--restart');
      }
      await cluster.healthy();
      c1 = await Container.start(one, 'c1', '--network', network);
      c2 = await Container.start(two, 'c2', '--network', network);
      addresses = await currentAddresses();
      await until(`${how}: pings are answered`, () => c1.reaches(addresses[1] ?? ''));
      expect(await c2.run('wget', '-q', '-O', '-', `http://${addresses[0]}/none`).catch(String)).toContain(
        '404',
      );
      expect(await c1.log()).toContain(addresses[1]);
      expect(await c1.reaches(WORLD)).toBe(true);
    }
  });

  it('leaves nothing behind when it is purged', async () => {
    for (const host of cluster.hosts) {
      await host.run('docker', 'rm', '-f', host === one ? 'c1' : 'c2');
      await host.run('dpkg', '--purge', 'corduroy');
      expect(leftBehind(before.get(host.name) ?? new Set(), await footprint(host))).toEqual([]);
    }
  });
});
