import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUN_FILES } from '../../src/config/names.ts';
import { isRunning } from '../../src/host/is-running.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

/** A rule that iptables cannot read, as nft shows it. */
const UNREADABLE = 'ct state vmap { invalid : drop, established : accept }';
/** Everything that puts something on the host. */
const ALL = ['--ip-masq', '--ip-blackhole-route'];

describe.skipIf(labObstacle())(`corduroy down ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let before: Record<string, string>;

  beforeAll(async () => {
    lab = await TestLab.start();
    h1 = await lab.lab.prepareHost(1);
    // Its link-local address comes when the other end of its link is up.
    while (!(await lab.on(h1, 'ip', '-br', 'address')).includes('fe80')) await sleep(50);
    before = await lab.hostState(h1);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('has something to remove', async () => {
    lab.lab.startDaemon(h1, ALL);
    await lab.lab.untilReady(h1);
    const now = await lab.hostState(h1);
    for (const part of ['links', 'addresses', 'routes', 'nft', 'iptables'])
      expect(now[part], part).not.toBe(before[part]);
    expect(now.routes).toMatch(/blackhole 10\.244\.\d+\.0\/24 proto 67/);
    expect(now.nft).toMatch(/masquerade fully-random/);
  });

  it('leaves the host as it was, and stops daemon and data plane', async () => {
    const { pid, engine } = await lab.status(h1);
    const { code, stdout } = await lab.attempt(h1, 'corduroy', 'down');
    expect(code).toBe(0);
    expect(stdout).toContain('removed: the daemon\nremoved: the data plane\n');
    expect(await lab.hostState(h1)).toEqual(before);
    for (const path of [h1.subnetFile, h1.runDir]) expect(existsSync(path), path).toBe(false);
    for (const id of [pid, engine?.pid ?? 0]) expect(isRunning(id), `process ${id}`).toBe(false);
  });

  it('finds nothing to do the second time', async () => {
    expect(await lab.on(h1, 'corduroy', 'down')).toBe('there was nothing to remove');
  });

  it('does so after the daemon and the data plane were killed, too', async () => {
    lab.lab.startDaemon(h1, ALL);
    const { engine } = await lab.lab.untilReady(h1);
    await lab.endDaemon(h1, 'SIGKILL');
    process.kill(engine?.pid ?? 0, 'SIGKILL');
    await lab.on(h1, 'corduroy', 'down');
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('ends a data plane that hangs', async () => {
    lab.lab.startDaemon(h1);
    const { engine } = await lab.lab.untilReady(h1);
    const pid = engine?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    expect(await lab.on(h1, 'corduroy', 'down')).toContain('removed: the data plane');
    expect(isRunning(pid)).toBe(false);
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('keeps a subnet.env that somebody else has written since', async () => {
    lab.lab.startDaemon(h1, ALL);
    await lab.lab.untilReady(h1);
    await lab.endDaemon(h1, 'SIGTERM');
    writeFileSync(h1.subnetFile, 'FLANNEL_SUBNET=10.244.9.1/24\n');
    await lab.on(h1, 'corduroy', 'down');
    expect(await lab.on(h1, 'cat', h1.subnetFile)).toBe('FLANNEL_SUBNET=10.244.9.1/24');
    await lab.on(h1, 'rm', h1.subnetFile);
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('refuses a run-dir that knows nothing while things of that name stand, and a daemon that hangs', async () => {
    lab.lab.startDaemon(h1);
    const { pid } = await lab.lab.untilReady(h1);
    const now = await lab.hostState(h1);
    const mistyped = await lab.attempt(h1, 'corduroy', 'down', '--run-dir', `${h1.runDir}-typo`);
    expect(mistyped).toMatchObject({ code: 2 });
    expect(mistyped.stderr).toMatch(/knows of no daemon.*corduroy0/s);
    process.kill(pid, 'SIGSTOP');
    try {
      const hung = await lab.attempt(h1, 'corduroy', 'down');
      expect(hung).toMatchObject({ code: 4 });
      expect(hung.stderr).toContain('it hangs');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect(await lab.hostState(h1)).toEqual(now);
    await lab.on(h1, 'corduroy', 'down');
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('keeps what others have made: links, routes, rules, files', async () => {
    await lab.on(h1, 'iptables', '-A', 'FORWARD', '-s', '203.0.113.0/24', '-j', 'DROP');
    await lab.on(h1, 'ip', 'link', 'add', 'other0', 'type', 'bridge');
    await lab.on(h1, 'ip', 'route', 'add', 'blackhole', '198.51.100.0/24', 'proto', '67');
    const mixed = await lab.hostState(h1);
    lab.lab.startDaemon(h1, ALL);
    await lab.lab.untilReady(h1);
    const file = join(h1.runDir, 'notes.txt');
    writeFileSync(file, 'mine');
    await lab.on(h1, 'corduroy', 'down');
    expect(await lab.hostState(h1)).toEqual(mixed);
    expect(existsSync(file)).toBe(true);
    await lab.on(h1, 'iptables', '-F', 'FORWARD');
    await lab.on(h1, 'ip', 'link', 'delete', 'other0');
    await lab.on(h1, 'ip', 'route', 'delete', 'blackhole', '198.51.100.0/24');
  });

  const left = () => Object.values(RUN_FILES).filter((name) => existsSync(join(h1.runDir, name)));

  it("removes its rules though iptables is gone, or cannot read the others' any more", async () => {
    const withoutIptables = await lab.pathWithout('iptables-save');
    for (const path of [withoutIptables, lab.lab.environment(h1).PATH]) {
      lab.lab.startDaemon(h1, ALL);
      await lab.lab.untilReady(h1);
      await lab.on(h1, 'nft', 'add', 'rule', 'ip', 'filter', 'FORWARD', UNREADABLE);
      expect(await lab.on(h1, 'iptables-save')).toContain('is incompatible');
      const said = await lab.on(h1, 'env', `PATH=${path}`, 'corduroy', 'down');
      expect(said).toContain('removed: iptables chain CORDUROY-FORWARD');
      const rules = await lab.on(h1, 'nft', 'list', 'ruleset');
      expect(rules).toContain(UNREADABLE);
      expect(rules).not.toContain('CORDUROY');
      expect(left()).toEqual([]);
      await lab.on(h1, 'nft', 'delete', 'table', 'ip', 'filter');
    }
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('leaves no file behind for a firewall that it cannot change, and says how to finish', async () => {
    lab.lab.startDaemon(h1, ALL);
    await lab.lab.untilReady(h1);
    const folder = join(dirname(h1.runDir), 'busy');
    mkdirSync(folder);
    writeFileSync(join(folder, 'iptables-save'), '#!/bin/sh\necho lock is held >&2\nexit 4\n', {
      mode: 0o755,
    });
    const path = `PATH=${folder}:${lab.lab.environment(h1).PATH}`;
    const { code, stderr } = await lab.attempt(h1, 'env', path, 'corduroy', 'down');
    rmSync(folder, { recursive: true });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/the firewall rules are left: .*lock is held.*finish with corduroy down/);
    expect(existsSync(h1.subnetFile)).toBe(false);
    expect(left()).toEqual([RUN_FILES.state]);
    expect(await lab.on(h1, 'corduroy', 'down')).toContain('removed: iptables chain CORDUROY-FORWARD');
    expect(await lab.hostState(h1)).toEqual(before);
    expect(left()).toEqual([]);
  });

  it('keeps the lease without --release, and gives it back with it', async () => {
    const leases = async () => JSON.parse(await lab.on(h1, 'corduroy', 'leases', 'list', '--json')).leases;
    expect(await leases()).toHaveLength(1);
    const refused = await lab.attempt(h1, 'corduroy', 'down', '--release');
    expect(refused).toMatchObject({ code: 3 });
    expect(refused.stderr).toContain('--release needs the running daemon');
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
    await lab.on(h1, 'corduroy', 'down', '--release');
    expect(await leases()).toEqual([]);
  });

  it('removes one instance and not the other', async () => {
    lab.lab.startDaemon(h1, ['--ip-masq']);
    await lab.lab.untilReady(h1);
    const one = await lab.hostState(h1);
    const place = join(dirname(h1.runDir), 'two');
    const flags = [
      '--instance',
      'two',
      '--run-dir',
      place,
      '--subnet-file',
      join(place, 'subnet.env'),
      '--etcd-prefix',
      '/two',
    ];
    await lab.on(
      h1,
      'corduroy',
      'config',
      'set',
      '--etcd-prefix',
      '/two',
      '{"Network": "10.245.0.0/16", "Backend": {"Port": 8286}}',
    );
    lab.lab.startDaemon(h1, ['--bridge', 'cbr2', '--ip-masq', ...flags]);
    const daemon = flags.slice(0, 4);
    await lab.on(h1, 'corduroy', 'wait', ...daemon);
    expect(await lab.on(h1, 'ip', '-br', 'link')).toMatch(/cdy-two/);
    expect(await lab.on(h1, 'nft', 'list', 'tables')).toMatch(/table ip corduroy-two/);
    await lab.on(h1, 'corduroy', 'down', ...daemon);
    await until(
      'the first is as before',
      async () => JSON.stringify(await lab.hostState(h1)) === JSON.stringify(one),
    );
    // Of the first, only what is not Corduroy's to set is wrong: it is named with the command that mends it.
    const { problems } = await lab.status(h1);
    expect(problems).toEqual([expect.stringMatching(/--ip-masq needs forwarding on eth0.*sysctl -w/)]);
    await lab.on(h1, 'sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=1');
    await until('all is well', async () => (await lab.status(h1)).problems.length === 0);
  });
});
