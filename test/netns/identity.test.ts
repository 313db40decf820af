import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`who a host is ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;

  const problems = async (host: LabHost) =>
    (await lab.status(host).catch(() => undefined))?.problems.join('; ') ?? '';

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    await until('they know each other', async () => (await lab.status(h1)).peers.length === 1);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('shows peers by name, and itself by its id', async () => {
    const { peers, node } = await lab.status(h1);
    expect(peers[0]).toMatchObject({ name: 'h2', version: expect.stringMatching(/^\d+\.\d+/) });
    expect(node.name).toBe('h1');
    const machineId = readFileSync(h1.machineIdFile, 'utf8').trim();
    const all = await lab.etcdctl('get', '--prefix', `${NETWORK_PREFIX}/`);
    expect(all).toContain(node.id);
    expect(all).not.toContain(machineId);
  });

  it('follows a public address that changes, with the same subnet and without a restart', async () => {
    const { lease, pid } = await lab.status(h1);
    await lab.on(h1, 'ip', 'address', 'del', '192.0.2.1/24', 'dev', 'eth0');
    await lab.on(h1, 'ip', 'address', 'add', '192.0.2.101/24', 'dev', 'eth0');
    await lab.on(h1, 'ip', 'route', 'replace', 'default', 'via', '192.0.2.254');
    await until('the peer has followed', async () => {
      return (await lab.status(h2)).peers[0]?.publicIp === '192.0.2.101';
    });
    const target = containerAddress(lease?.subnets ?? []);
    await until('packets flow', () => lab.pings(h2.container.namespace, target));
    const after = await lab.status(h1);
    expect(after.pid).toBe(pid);
    expect(after.lease?.subnets).toEqual(lease?.subnets);
    expect(after.interface?.publicIp).toBe('192.0.2.101');
    // One transaction: lease and record are of one revision.
    const revisions = [lease?.key, `${NETWORK_PREFIX}/corduroy/nodes/${after.node.id}`].map(async (key) => {
      return /"mod_revision":(\d+)/.exec(await lab.etcdctl('get', '-w', 'json', key ?? ''))?.[1];
    });
    const [one, other] = await Promise.all(revisions);
    expect(one).toBe(other);
  });

  it('refuses an address that another live machine publishes, with the flag to set', async () => {
    const h3 = await lab.lab.prepareHost(3);
    lab.lab.startDaemon(h3, ['--public-ip', '192.0.2.2']);
    await until('it says why', async () =>
      /published by another one that lives, h2 .*--iface/.test(await problems(h3)),
    );
    expect((await lab.status(h3)).lease).toBeUndefined();
    expect(await problems(h2)).toBe('');
    // When that machine is gone, its address may be another's.
    await lab.endDaemon(h2, 'SIGKILL');
    await until('it has a subnet of its own', async () => (await lab.status(h3)).lease !== undefined, 60_000);
    expect(await lab.subnet(h3)).not.toBe(await keyOf(h2));
    await lab.on(h3, 'corduroy', 'down', '--release');
    lab.lab.startDaemon(h2);
    await lab.lab.untilReady(h2);
  });

  const keyOf = async (host: LabHost) =>
    /10\.\d+\.\d+\.0\/24/.exec(readFileSync(host.subnetFile, 'utf8'))?.[0];

  it("refuses to be a live machine's copy, with the command that tells them apart", async () => {
    const h4 = await lab.lab.prepareHost(4);
    const own = readFileSync(h4.machineIdFile, 'utf8');
    rmSync(h4.machineIdFile);
    writeFileSync(h4.machineIdFile, readFileSync(h2.machineIdFile, 'utf8'));
    lab.lab.startDaemon(h4);
    await until('it says why', async () =>
      /machine-id of this one.*systemd-machine-id-setup/.test(await problems(h4)),
    );
    expect((await lab.status(h4)).lease).toBeUndefined();
    expect((await lab.status(h2)).lease?.state).toBe('held');
    writeFileSync(h4.machineIdFile, own);
    const { lease } = await lab.restartDaemon(h4);
    expect(lease?.subnets).toHaveLength(1);
    await until('all know each other', async () => (await lab.status(h2)).peers.length === 2);
  });

  it('gives its lease back when it is stopped, if it should', async () => {
    await lab.restartDaemon(h2, '--release-on-exit');
    const { lease } = await lab.status(h2);
    await lab.endDaemon(h2, 'SIGTERM');
    expect(await lab.etcdctl('get', '--keys-only', lease?.key ?? '')).toBe('');
  });
});
