import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import { LAB_BRIDGE, type LabHost, underlay } from '../../src/lab/topology.ts';
import { hasLegacyIptables, legacyPath } from '../support/iptables-legacy.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

/** Milliseconds. What is flushed is back within. */
const SOON = 3000;
const FLAGS = ['--ip-masq', '--iptables-resync', '3600'];
/** Somewhere outside: the namespace that etcd is in. */
const OUTSIDE = underlay('').address;

/** What dockerd 28 does to the filter table when it starts, with the lab's bridge for docker0. */
const DOCKER = `
iptables -P FORWARD DROP
iptables -N DOCKER-USER 2>/dev/null
for chain in DOCKER DOCKER-FORWARD; do iptables -N $chain 2>/dev/null; iptables -F $chain; done
iptables -A DOCKER ! -i ${LAB_BRIDGE} -o ${LAB_BRIDGE} -j DROP
iptables -A DOCKER-FORWARD -o ${LAB_BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A DOCKER-FORWARD -o ${LAB_BRIDGE} -j DOCKER
iptables -A DOCKER-FORWARD -i ${LAB_BRIDGE} -j ACCEPT
for chain in DOCKER-FORWARD DOCKER-USER; do
  iptables -D FORWARD -j $chain 2>/dev/null
  iptables -I FORWARD -j $chain
done`;
/** What firewalld's iptables backend does at a reload. */
const FIREWALLD = `
iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; nft flush ruleset
iptables -P FORWARD DROP
iptables -N FWD_public
iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A FORWARD -j FWD_public
iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP
iptables -A FORWARD -j REJECT --reject-with icmp-host-prohibited`;

describe.skipIf(labObstacle())(`the firewall of two hosts ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let c1: string;
  let c2: string;

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    for (const host of [h1, h2]) {
      await lab.on(host, 'sysctl', '-qw', 'net.ipv4.conf.all.forwarding=1');
      await lab.restartDaemon(host, ...FLAGS);
      await shell(host, DOCKER);
    }
    c1 = containerAddress([await lab.subnet(h1)]);
    c2 = containerAddress([await lab.subnet(h2)]);
    await until('containers reach each other', reached);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const shell = (host: LabHost, lines: string) => lab.on(host, 'sh', '-c', lines);
  const reached = async () => {
    const [there, outside] = await Promise.all([
      lab.pings(h2.container.namespace, c1, 0.2),
      lab.pings(h1.container.namespace, OUTSIDE, 0.2),
    ]);
    return there && outside;
  };

  it('containers reach each other and the outside only because of its rules', async () => {
    await lab.endDaemon(h1, 'SIGTERM');
    await shell(h1, 'iptables -F DOCKER-USER; iptables -F FORWARD');
    expect(await lab.pings(h2.container.namespace, c1)).toBe(false);
    expect(await lab.pings(h1.container.namespace, OUTSIDE)).toBe(false);
    lab.lab.startDaemon(h1, FLAGS);
    await lab.lab.untilReady(h1);
    await until('they do again', reached);
    await shell(h1, DOCKER);
    await until('and still when Docker has started', reached);
  });

  it.each<[string, string]>([
    ['FORWARD is flushed', 'iptables -F FORWARD'],
    ['all chains are flushed', 'iptables -F'],
    ['all chains are flushed and deleted', 'iptables -F; iptables -X'],
    ['all rules are flushed with nft', 'nft flush ruleset; iptables -P FORWARD DROP'],
    ['firewalld reloads', FIREWALLD],
    [
      'another program sets the whole table',
      "printf '*filter\\n:FORWARD DROP [0:0]\\n-A FORWARD -j REJECT\\nCOMMIT\\n' | iptables-restore",
    ],
    ['Docker is restarted', DOCKER],
    ['DOCKER-USER is flushed', 'iptables -F DOCKER-USER'],
    [
      'DOCKER-USER is deleted',
      'iptables -D FORWARD -j DOCKER-USER; iptables -F DOCKER-USER; iptables -X DOCKER-USER',
    ],
    ['a rule in front rejects everything', 'iptables -I FORWARD -j REJECT'],
  ])('%s: it is mended', async (_what, damage) => {
    await shell(h1, `iptables -F FORWARD; ${DOCKER}`);
    await until('all is well', reached);
    await sleep(1500); // Until no hint is being answered: that is at most once a second.
    await shell(h1, damage);
    const start = performance.now();
    await until('containers reach each other and the outside', reached);
    expect(performance.now() - start).toBeLessThan(SOON);
  });

  it('rules of a user in DOCKER-USER count for what leaves the network, whichever came first', async () => {
    await shell(h1, `iptables -F FORWARD; ${DOCKER}`);
    await until('all is well', reached);
    await shell(h1, `iptables -A DOCKER-USER -d ${OUTSIDE} -j DROP`);
    await lab.restartDaemon(h1, ...FLAGS);
    expect(await lab.pings(h1.container.namespace, OUTSIDE)).toBe(false);
    expect(await lab.pings(h2.container.namespace, c1)).toBe(true);
    await shell(h1, `iptables -D DOCKER-USER -d ${OUTSIDE} -j DROP`);
    await until('it is reached again', reached);
  });

  /** Runs something, and tells from which addresses pings for an address came to a namespace. */
  async function sources(namespace: string, work: () => Promise<unknown>): Promise<string[]> {
    const table =
      'table ip seen { set addresses { type ipv4_addr; flags dynamic; size 64; }; ' +
      'chain in { type filter hook input priority 0; icmp type echo-request add @addresses { ip saddr }; }; }';
    await lab.on(namespace, 'nft', table);
    try {
      await work();
      const [, found = ''] =
        /elements = \{ (.*?) \}/s.exec(await lab.on(namespace, 'nft', 'list', 'table', 'ip', 'seen')) ?? [];
      return found.split(/,\s*/).filter((text) => text !== '');
    } finally {
      await lab.on(namespace, 'nft', 'delete', 'table', 'ip', 'seen');
    }
  }
  const place = () => underlay(lab.lab.spec.name).namespace;

  it('containers see the addresses of each other; the outside sees that of the host', async () => {
    const inside = await sources(h1.container.namespace, () => lab.pings(h2.container.namespace, c1));
    expect(inside).toEqual([c2]);
    const outside = await sources(place(), () => lab.pings(h1.container.namespace, OUTSIDE));
    expect(outside).toEqual([h1.address]);
  });

  it('excluded destinations see the address of the container, all others that of the host', async () => {
    await lab.restartDaemon(h1, ...FLAGS, '--ip-masq-exclude', `${OUTSIDE}/32,192.0.2.240/28`);
    // Nobody there knows the way back: what counts is what arrives.
    const excluded = await sources(place(), () => lab.pings(h1.container.namespace, OUTSIDE, 0.3));
    expect(excluded).toEqual([c1]);
    const others = await sources(h2.namespace, () => lab.pings(h1.container.namespace, h2.address));
    expect(others).toEqual([h1.address]);
    await lab.restartDaemon(h1, ...FLAGS);
    await until('all is as before', reached);
  });

  it('says of rules of Docker that are in the way, and how to mend it', async () => {
    const subnet = await lab.subnet(h1);
    const masquerade = `-s ${subnet} ! -o docker0 -j MASQUERADE`;
    await shell(
      h1,
      `iptables -t nat -A POSTROUTING ${masquerade}; iptables -t raw -A PREROUTING -d ${c1} ! -i ${LAB_BRIDGE} -j DROP`,
    );
    const { problems } = await lab.restartDaemon(h1, ...FLAGS);
    const said = async () => (await lab.status(h1)).problems.join();
    await until('it says so', async () =>
      (await said()).includes(`iptables -t nat -D POSTROUTING ${masquerade}`),
    );
    expect(await said()).toContain(`-d ${c1}/32 ! -i ${LAB_BRIDGE} -j DROP): corduroy docker configure`);
    expect(problems).not.toContain('setting up'); // A host is ready with it.
    await shell(h1, `iptables -t nat -D POSTROUTING ${masquerade}; iptables -t raw -F PREROUTING`);
    await until('all is well', async () => (await said()) === '', 15_000);
  });

  const problems = async () => (await lab.status(h1).catch(() => ({ problems: [] }))).problems.join();
  const filterTable = async () =>
    (await lab.on(h1, 'nft', 'list', 'table', 'ip', 'filter')).replaceAll(/packets \d+ bytes \d+/g, '');
  const outsideIsReached = () => lab.pings(h1.container.namespace, OUTSIDE, 0.2);

  it("rules in FORWARD count, too, when somebody appends them behind Corduroy's", async () => {
    await shell(h1, 'iptables -F; iptables -X; iptables -P FORWARD DROP');
    await until('all is well', reached);
    await shell(h1, `iptables -A FORWARD -d ${OUTSIDE} -j DROP`);
    await until('what is forbidden is not reached', async () => !(await outsideIsReached()), SOON);
    expect(await lab.pings(h2.container.namespace, c1)).toBe(true);
    await shell(h1, `iptables -D FORWARD -d ${OUTSIDE} -j DROP`);
    await until('it is reached again', reached);
  });

  it('--iptables-forward-rules=false takes its rules away, and the masquerading stays', async () => {
    await lab.restartDaemon(h1, ...FLAGS, '--iptables-forward-rules=false');
    expect(await lab.on(h1, 'iptables-save')).not.toContain('CORDUROY');
    expect(await lab.on(h1, 'nft', 'list', 'tables')).toContain('table ip corduroy');
    expect(await problems()).toBe('');
    await lab.restartDaemon(h1, ...FLAGS);
    await until('all is as before', reached);
  });

  it.each([
    ['that iptables cannot read', 'ct state vmap { invalid : drop }'],
    [
      'for a set of addresses, which iptables shows as one for all',
      `ip daddr { 203.0.113.1, ${OUTSIDE} } drop`,
    ],
  ])('a table with a rule %s is left alone, and what is said mends it', async (_what, rule) => {
    await lab.endDaemon(h1, 'SIGTERM');
    await shell(h1, `nft flush ruleset; iptables -A FORWARD -s 203.0.113.9 -j DROP`);
    await lab.on(h1, 'nft', 'add', 'rule', 'ip', 'filter', 'FORWARD', rule);
    const before = await filterTable();
    lab.lab.startDaemon(h1, FLAGS);
    await until('it says so', async () =>
      /cannot read.*--iptables-forward-rules=false/.test(await problems()),
    );
    expect(await filterTable()).toBe(before);
    // The masquerading does not wait for it, nor is it set again whenever the rules are tried.
    const handle = async () =>
      (await lab.on(h1, 'nft', '-a', 'list', 'table', 'ip', 'corduroy')).split('\n')[0];
    const first = await handle();
    expect(first).toMatch(/handle \d+$/);
    await sleep(2500);
    expect(await handle()).toBe(first);
    await lab.restartDaemon(h1, ...FLAGS, '--iptables-forward-rules=false');
    expect(await problems()).toBe('');
    await shell(h1, 'nft flush ruleset');
    await lab.restartDaemon(h1, ...FLAGS);
    await until('all is as before', reached);
  });

  it('forwards without nft, and says that masquerading needs it', async () => {
    const environment = { PATH: await lab.pathWithout('nft') };
    await lab.endDaemon(h1, 'SIGTERM');
    await shell(h1, `nft flush ruleset; ${DOCKER}`);
    lab.lab.startDaemon(h1, FLAGS, environment);
    await until('it says so', async () => (await problems()).includes('apt-get install nftables'));
    await until('containers reach each other', () => lab.pings(h2.container.namespace, c1, 0.2));
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1, [], environment);
    await lab.lab.untilReady(h1);
    expect(await problems()).toBe('');
    await lab.restartDaemon(h1, ...FLAGS);
    await until('all is as before', reached);
  });

  it.skipIf(!hasLegacyIptables())('does the same with iptables-legacy', async () => {
    const iptables = (line: string) => shell(h1, line.replaceAll('iptables', 'iptables-legacy'));
    await lab.endDaemon(h1, 'SIGTERM');
    await shell(h1, 'nft flush ruleset');
    await iptables(DOCKER);
    lab.lab.startDaemon(h1, FLAGS, { PATH: legacyPath(lab) });
    await lab.lab.untilReady(h1);
    await until('containers reach each other and the outside', reached);
    await sleep(1500);
    await iptables('iptables -F FORWARD; iptables -A FORWARD -j REJECT');
    expect(await reached()).toBe(false);
    await until('it is mended', reached, 8000);
    await lab.endDaemon(h1, 'SIGTERM');
    await iptables('iptables -F; iptables -X; iptables -P FORWARD ACCEPT');
  });

  it('corduroy down leaves the rules of others as they were', async () => {
    const saved = async () => (await lab.on(h1, 'iptables-save')).replaceAll(/^#.*|\[\d+:\d+\]/gm, '');
    await lab.on(h1, 'corduroy', 'down');
    await shell(h1, `${DOCKER}; iptables -A FORWARD -m comment --comment "the end" -j REJECT`);
    const before = await saved();
    lab.lab.startDaemon(h1, FLAGS);
    await lab.lab.untilReady(h1);
    expect((await saved()).match(/-j CORDUROY-FORWARD/g)).toHaveLength(5);
    await lab.on(h1, 'corduroy', 'down');
    expect(await saved()).toBe(before);
  });
});
