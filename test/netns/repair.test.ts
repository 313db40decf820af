import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRunning } from '../../src/host/is-running.ts';
import { LAB_BRIDGE, type LabHost, labFolder } from '../../src/lab/topology.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { hasLegacyIptables, legacyPath } from '../support/iptables-legacy.ts';
import { bridgeAddress, labObstacle, TestLab, until } from '../support/lab.ts';

/** Seconds between comparisons that no change has asked for: longer than any test. */
const NEVER = '3600';
/** Milliseconds. What is removed by hand is back within. */
const SOON = 3000;

describe.skipIf(labObstacle())(`what hands change on a host ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let host: LabHost;
  let subnet: string;

  beforeAll(async () => {
    lab = await TestLab.start();
    [host] = (await lab.addHosts(1)) as [LabHost];
    await lab.restartDaemon(host, '--ip-masq', '--ip-blackhole-route', '--iptables-resync', NEVER);
    subnet = await lab.subnet(host);
    await quiet();
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const shell = (line: string) => lab.on(host, 'sh', '-c', line);

  /** All that Corduroy keeps on the host, in a form that is equal when all is as it was. */
  const held = async () => {
    const links = await lab.on(host, 'ip', '-j', '-d', 'address', 'show');
    const ours = (JSON.parse(links) as LinkShown[]).filter(({ ifalias }) => ifalias === 'corduroy');
    const nft = await lab.attempt(host, 'nft', 'list', 'table', 'ip', 'corduroy');
    const rules = await lab.attempt(host, 'iptables', '-S', 'CORDUROY-FORWARD');
    const jump = await lab.attempt(host, 'iptables', '-C', 'FORWARD', '-j', 'CORDUROY-FORWARD');
    return JSON.stringify({
      links: ours
        .sort((one, other) => one.ifname.localeCompare(other.ifname))
        .map(({ ifname, mtu, flags, addr_info }) => [
          ifname,
          mtu,
          flags.includes('UP'),
          addr_info.filter(({ scope }) => scope !== 'link').map(({ local, prefixlen }) => [local, prefixlen]),
        ]),
      routes: (await lab.on(host, 'ip', 'route', 'show', 'proto', '67')).replaceAll(/ linkdown\b| +$/gm, ''),
      nft: nft.stdout,
      rules: rules.stdout,
      jump: jump.code,
    });
  };

  /** Until no hint is being answered: a hint comes at most once a second. */
  const quiet = () => sleep(1500);

  it.each<[string, (subnet: string) => string]>([
    ['the device is deleted', () => 'ip link delete corduroy0'],
    ['the device is set down', () => 'ip link set corduroy0 down'],
    ['the MTU of the device is changed', () => 'ip link set corduroy0 mtu 1300'],
    ['the mark of the device is removed', () => 'ip link set corduroy0 alias ""'],
    ['the address of the device is deleted', () => 'ip address flush dev corduroy0'],
    ['an address is added to the device', () => 'ip address add 203.0.113.7/32 dev corduroy0'],
    ['the route is deleted', () => 'ip route delete 10.244.0.0/16'],
    ['a blackhole route is deleted', (own) => `ip route delete blackhole ${own} metric 4278198272`],
    ['the bridge is deleted', () => `ip link delete ${LAB_BRIDGE}`],
    ['the bridge is set down', () => `ip link set ${LAB_BRIDGE} down`],
    [
      'the address of the bridge is deleted',
      (own) => `ip address delete ${bridgeAddress(own)}/${Prefix.parse(own).length} dev ${LAB_BRIDGE}`,
    ],
    ['the masquerading is deleted', () => 'nft delete table ip corduroy'],
    ['a rule is put into the table', () => 'nft insert rule ip corduroy postrouting drop'],
    ['FORWARD is flushed', () => 'iptables -F FORWARD'],
    ['the chain is flushed', () => 'iptables -F CORDUROY-FORWARD'],
    ['a rule is put into the chain', () => 'iptables -I CORDUROY-FORWARD -j DROP'],
    ['all rules are flushed', () => 'nft flush ruleset'],
    ['everything at once', () => `ip link delete corduroy0; ip link delete ${LAB_BRIDGE}; nft flush ruleset`],
  ])('%s, and all is back soon', async (_what, damage) => {
    const before = await held();
    await shell(damage(subnet));
    const start = performance.now();
    await until('it is as before', async () => (await held()) === before, 10_000);
    await until('the daemon is content', async () => (await lab.status(host)).ready);
    const took = performance.now() - start;
    expect(took).toBeLessThan(SOON);
  });

  it('the bridge is deleted, and its containers are attached again', async () => {
    await quiet();
    const index = async () => (await lab.on(host, 'ip', '-o', 'link', 'show', LAB_BRIDGE)).split(':')[0];
    const before = await index();
    expect(await lab.pings(host.container.namespace, bridgeAddress(subnet))).toBe(true);
    await shell(`ip link add late type veth peer name late-c && ip link set late master ${LAB_BRIDGE} up`);
    await shell(`ip link add other type veth peer name other-c && ip link set other up`);
    await lab.on(host, 'ip', 'link', 'delete', LAB_BRIDGE);
    await until('the container has its gateway', () =>
      lab.pings(host.container.namespace, bridgeAddress(subnet), 0.2),
    );
    expect(await index()).not.toBe(before);
    const ports = await lab.on(host, 'ip', '-o', 'link', 'show', 'master', LAB_BRIDGE);
    expect(ports).toMatch(/: late@/);
    expect(ports).not.toMatch(/: other@/);
    await shell('ip link delete late; ip link delete other');
  });

  it('says of a foreign route in the place of its own, and leaves it', async () => {
    await quiet();
    await lab.on(host, 'ip', 'route', 'replace', '10.244.0.0/16', 'dev', 'eth0');
    await until('it says so', async () => (await lab.status(host)).problems.join().includes('10.244.0.0/16'));
    expect(await lab.on(host, 'ip', 'route', 'show', '10.244.0.0/16')).toContain('dev eth0');
    await lab.on(host, 'ip', 'route', 'delete', '10.244.0.0/16', 'dev', 'eth0');
    await until('its own is back', async () => {
      return (await lab.on(host, 'ip', 'route', 'show', '10.244.0.0/16')).includes('dev corduroy0');
    });
    await until('all is well', async () => (await lab.status(host)).ready);
  });

  it('starts no comparison for containers that come and go', async () => {
    const { path, calls } = counting();
    await lab.endDaemon(host, 'SIGTERM');
    lab.lab.startDaemon(host, ['--ip-masq', '--iptables-resync', NEVER], { PATH: path });
    await lab.lab.untilReady(host);
    const comeAndGo = (name: string) =>
      shell(
        `ip link add v${name} type veth peer name w${name} && ip link set v${name} master ${LAB_BRIDGE} up && ` +
          `ip link set w${name} up && ip link delete v${name}`,
      );
    await comeAndGo('first'); // What it sees of the bridge for the first time makes it look.
    await quiet();
    await quiet();
    const before = calls();
    expect(before).toBeGreaterThan(0);
    for (let index = 0; index < 50; index += 1) await comeAndGo(`${index}`);
    await quiet();
    expect(calls() - before).toBe(0);
    // And it has listened all the time.
    await lab.on(host, 'ip', 'link', 'set', 'corduroy0', 'mtu', '1300');
    await until('it compares', () => calls() > before);
    await quiet();
  });

  /** A PATH whose `ip` counts how often the daemon looks at the host. */
  function counting(): { path: string; calls: () => number } {
    const folder = join(labFolder(lab.lab.spec.name), 'counting');
    const file = join(folder, 'calls');
    wrap(folder, 'ip', `case "$*" in *monitor*) ;; *) echo "$*" >>${file};; esac`);
    return {
      path: `${folder}:${lab.lab.environment().PATH}`,
      calls: () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0),
    };
  }

  /** Puts a program into a folder that runs some lines of shell before the one of its name. */
  function wrap(folder: string, program: string, lines: string): void {
    mkdirSync(folder, { recursive: true });
    const others = lab.lab.environment().PATH;
    writeFileSync(join(folder, program), `#!/bin/sh\n${lines}\nPATH='${others}' exec ${program} "$@"\n`, {
      mode: 0o755,
    });
  }

  /** Processes of the host that listen to the kernel. */
  const listening = async () => {
    return (await pidsOf(host)).filter((pid) => {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return command.includes('monitor') && ['ip', 'nft'].includes(command[0] ?? '');
    });
  };

  const pidsOf = async ({ namespace }: LabHost) =>
    (await lab.on(host, 'ip', 'netns', 'pids', namespace))
      .split('\n')
      .map(Number)
      .filter((pid) => isRunning(pid));

  it('hears again when what it listens by was killed, and says so', async () => {
    await lab.restartDaemon(host, '--ip-masq', '--iptables-resync', NEVER);
    await quiet();
    const before = await listening();
    expect(before).toHaveLength(2);
    for (const pid of before) process.kill(pid, 'SIGKILL');
    // Meanwhile it looks by itself.
    await lab.on(host, 'ip', 'link', 'set', 'corduroy0', 'mtu', '1300');
    await until('it listens again', () =>
      /changes of links and routes are noticed at once again/.test(lab.log(host)),
    );
    expect(lab.log(host)).toMatch(/"ip -o monitor.* has ended \(signal SIGKILL\)/);
    await until('it is mended', async () =>
      (await lab.on(host, 'ip', 'link', 'show', 'corduroy0')).includes('mtu 1472'),
    );
    const after = await listening();
    expect(after).toHaveLength(2);
    expect(after).not.toEqual(before);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`leaves nothing behind that listens when it ends by ${signal}`, async () => {
      const before = await listening();
      expect(before).toHaveLength(2);
      await lab.endDaemon(host, signal);
      await until('they are gone', () => !before.some((pid) => isRunning(pid)), 1000);
      lab.lab.startDaemon(host, ['--ip-masq', '--iptables-resync', NEVER]);
      await lab.lab.untilReady(host);
      await quiet();
    });
  }

  it('looks every few seconds where nothing tells of changes, and says why once', async () => {
    const folder = join(labFolder(lab.lab.spec.name), 'deaf');
    wrap(folder, 'nft', `case "$*" in *monitor*) echo 'no netlink here' >&2; exit 1;; esac`);
    await lab.endDaemon(host, 'SIGTERM');
    const from = lab.log(host).length;
    lab.lab.startDaemon(host, ['--ip-masq'], { PATH: `${folder}:${lab.lab.environment().PATH}` });
    await lab.lab.untilReady(host);
    await quiet();
    await lab.on(host, 'iptables', '-F', 'CORDUROY-FORWARD');
    await until(
      'it is mended',
      async () => (await lab.on(host, 'iptables', '-S', 'CORDUROY-FORWARD')).includes('ACCEPT'),
      8000,
    );
    const said = lab
      .log(host)
      .slice(from)
      .match(/saying "no netlink here".*/g);
    expect(said).toEqual([
      expect.stringContaining('changes of firewall rules are looked for every few seconds'),
    ]);
  });

  it.skipIf(!hasLegacyIptables())(
    'looks every few seconds at rules of iptables-legacy, which nft cannot see',
    async () => {
      await lab.endDaemon(host, 'SIGTERM');
      lab.lab.startDaemon(host, [], { PATH: legacyPath(lab) });
      await lab.lab.untilReady(host);
      await quiet();
      await lab.on(host, 'iptables-legacy', '-F', 'CORDUROY-FORWARD');
      await until(
        'it is mended',
        async () => (await lab.on(host, 'iptables-legacy', '-S', 'CORDUROY-FORWARD')).includes('ACCEPT'),
        8000,
      );
      expect(lab.log(host)).toContain('iptables is the legacy one');
    },
  );
});

interface LinkShown {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}
