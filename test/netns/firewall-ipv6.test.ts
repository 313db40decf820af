import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddresses } from '../../src/lab/network.ts';
import { LAB_BRIDGE, type LabHost, underlay } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';
import { hasForceForwarding } from '../support/netns.ts';

/** Milliseconds. What is flushed is back within. */
const SOON = 3000;
const FLAGS = ['--ip-masq', '--iptables-resync', '3600'];
/** Somewhere outside: the router of the underlay. */
const OUTSIDE = '2001:db8::fe';

/** What dockerd 28 does to the tables of IPv6 when it starts, with the lab's bridge for docker0. */
const DOCKER = `
ip6tables -P FORWARD DROP
ip6tables -N DOCKER-USER 2>/dev/null
for chain in DOCKER DOCKER-FORWARD; do ip6tables -N $chain 2>/dev/null; ip6tables -F $chain; done
ip6tables -A DOCKER ! -i ${LAB_BRIDGE} -o ${LAB_BRIDGE} -j DROP
ip6tables -A DOCKER-FORWARD -o ${LAB_BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
ip6tables -A DOCKER-FORWARD -o ${LAB_BRIDGE} -j DOCKER
ip6tables -A DOCKER-FORWARD -i ${LAB_BRIDGE} -j ACCEPT
for chain in DOCKER-FORWARD DOCKER-USER; do
  ip6tables -D FORWARD -j $chain 2>/dev/null
  ip6tables -I FORWARD -j $chain
done`;

describe.skipIf(labObstacle())(`the firewall of two hosts with IPv4 and IPv6 ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let c1 = '';
  let c2 = '';

  beforeAll(async () => {
    lab = await TestLab.start({ families: [4, 6] });
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    for (const host of [h1, h2]) {
      await lab.on(host, 'sysctl', '-qw', 'net.ipv4.conf.all.forwarding=1');
      await shell(host, DOCKER);
    }
    const ipv6Of = async (host: LabHost) => containerAddresses([await ipv6Subnet(host)])[0] ?? '';
    [c1, c2] = [await ipv6Of(h1), await ipv6Of(h2)];
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const ipv6Subnet = async (host: LabHost) =>
    (await lab.status(host)).lease?.subnets.find((subnet) => subnet.includes(':')) ?? 'none';
  const shell = (host: LabHost, lines: string) => lab.on(host, 'sh', '-c', lines);
  const outsideIsReached = () => lab.pings(h1.container.namespace, OUTSIDE, 0.2);
  const reached = async () => {
    const [there, outside] = await Promise.all([
      lab.pings(h2.container.namespace, c1, 0.2),
      outsideIsReached(),
    ]);
    return there && outside;
  };
  const problems = async (host = h1) =>
    (await lab.status(host).catch(() => ({ problems: [] }))).problems.join();

  it('says that answers from outside do not get in, with the command', async ({ skip }) => {
    for (const host of [h1, h2]) await lab.restartDaemon(host, ...FLAGS);
    if (!hasForceForwarding()) return skip('this kernel forwards IPv6 for the whole host or not at all');
    const command = 'sysctl -w net/ipv6/conf/eth0/force_forwarding=1';
    expect(await problems()).toBe(
      `--ip-masq needs forwarding on eth0, or no answer from outside reaches a container: ${command}`,
    );
    expect(await outsideIsReached()).toBe(false);
    for (const host of [h1, h2]) await shell(host, command);
    await until('containers reach each other and the outside', reached);
    await until('all is well', async () => (await problems()) === '', 10_000);
  });

  it('leaves the host itself no router', async ({ skip }) => {
    if (!hasForceForwarding()) return skip('this kernel forwards IPv6 for the whole host or not at all');
    expect(await lab.on(h1, 'cat', '/proc/sys/net/ipv6/conf/all/forwarding')).toBe('0');
  });

  it.each<[string, string]>([
    ['FORWARD is flushed', 'ip6tables -F FORWARD'],
    ['all chains are flushed and deleted', 'ip6tables -F; ip6tables -X'],
    ['all rules are flushed with nft', 'nft flush ruleset; ip6tables -P FORWARD DROP'],
    ['Docker is restarted', DOCKER],
    ['a rule in front rejects everything', 'ip6tables -I FORWARD -j REJECT'],
  ])('%s: it is mended', async (_what, damage) => {
    await shell(h1, `ip6tables -F FORWARD; ${DOCKER}`);
    await until('all is well', reached);
    await sleep(1500); // Until no hint is being answered: that is at most once a second.
    await shell(h1, damage);
    const start = performance.now();
    await until('containers reach each other and the outside', reached);
    expect(performance.now() - start).toBeLessThan(SOON);
  });

  it('rules of a user count for what leaves the network', async () => {
    await shell(h1, `ip6tables -F FORWARD; ${DOCKER}; ip6tables -A DOCKER-USER -d ${OUTSIDE} -j DROP`);
    await until('containers reach each other', () => lab.pings(h2.container.namespace, c1, 0.2));
    expect(await outsideIsReached()).toBe(false);
    await shell(h1, `ip6tables -D DOCKER-USER -d ${OUTSIDE} -j DROP`);
    await until('it is reached again', reached);
  });

  /** From which addresses pings come to a namespace meanwhile. */
  async function sources(namespace: string, work: () => Promise<unknown>): Promise<string[]> {
    const table =
      'table ip6 seen { set addresses { type ipv6_addr; flags dynamic; size 64; }; ' +
      'chain in { type filter hook input priority 0; icmpv6 type echo-request add @addresses { ip6 saddr }; }; }';
    await lab.on(namespace, 'nft', table);
    try {
      await work();
      const [, found = ''] =
        /elements = \{ (.*?) \}/s.exec(await lab.on(namespace, 'nft', 'list', 'table', 'ip6', 'seen')) ?? [];
      return found.split(/,\s*/).filter((text) => text !== '');
    } finally {
      await lab.on(namespace, 'nft', 'delete', 'table', 'ip6', 'seen');
    }
  }
  const place = () => underlay(lab.lab.spec.name).namespace;
  const ownAddress = () => h1.addresses.find((address) => address.includes(':'));

  it('containers see the addresses of each other; the outside sees that of the host, or what is excluded the own', async () => {
    expect(await sources(h1.container.namespace, () => lab.pings(h2.container.namespace, c1))).toEqual([c2]);
    expect(await sources(place(), outsideIsReached)).toEqual([ownAddress()]);
    await lab.restartDaemon(h1, ...FLAGS, '--ip-masq-exclude', `${OUTSIDE}/128,192.0.2.0/24`);
    expect(await sources(place(), outsideIsReached)).toEqual([c1]);
    await lab.restartDaemon(h1, ...FLAGS);
  });

  it('says of rules of Docker that are in the way, and how to mend it', async () => {
    const masquerade = `-s ${await ipv6Subnet(h1)} ! -o docker0 -j MASQUERADE`;
    await shell(h1, `ip6tables -t nat -A POSTROUTING ${masquerade}`);
    await lab.restartDaemon(h1, ...FLAGS);
    await until('it says so', async () =>
      (await problems()).includes(`ip6tables -t nat -D POSTROUTING ${masquerade}`),
    );
    await shell(h1, `ip6tables -t nat -D POSTROUTING ${masquerade}`);
    await until('all is well', async () => (await problems()) === '', 15_000);
  });

  it('corduroy down removes the rules of both families, and nothing else', async () => {
    const saved = async () => (await lab.on(h1, 'ip6tables-save')).replaceAll(/^#.*|\[\d+:\d+\]/gm, '');
    await lab.on(h1, 'corduroy', 'down');
    await shell(h1, `nft flush ruleset; ${DOCKER}`);
    const before = await saved();
    lab.lab.startDaemon(h1, FLAGS);
    await lab.lab.untilReady(h1);
    await until('the rules stand', async () => (await saved()).includes('-j CORDUROY-FORWARD'));
    expect(await lab.on(h1, 'nft', 'list', 'tables')).toContain('table ip6 corduroy');
    await lab.on(h1, 'corduroy', 'down');
    expect(await saved()).toBe(before);
    expect(await lab.on(h1, 'nft', 'list', 'tables')).not.toContain('corduroy');
  });
});

describe.skipIf(labObstacle())(`a host of an IPv4 network ${labObstacle() ?? ''}`, () => {
  it('needs nothing of IPv6: neither ip6tables nor the kernel is asked', async () => {
    const lab = await TestLab.start();
    try {
      const [host] = (await lab.addHosts(1)) as [LabHost];
      await lab.endDaemon(host, 'SIGTERM');
      lab.lab.startDaemon(host, FLAGS, {
        PATH: await lab.pathWithout('ip6tables-save', 'ip6tables-restore'),
      });
      await lab.lab.untilReady(host);
      await lab.on(host, 'sysctl', '-qw', 'net.ipv4.conf.all.forwarding=1');
      await until('all is well', async () => (await lab.status(host)).problems.length === 0, 15_000);
      expect(await lab.on(host, 'nft', 'list', 'tables')).not.toContain('ip6');
      await lab.on(host, 'corduroy', 'down');
    } finally {
      await lab.remove();
    }
  });
});
