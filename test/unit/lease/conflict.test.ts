import { describe, expect, test } from 'vitest';
import { Cluster, FOLDER, first, lastThenFirst, ME, nodeIdOf, OTHER } from './cluster.ts';
import { rangesOf, value } from './fixtures.ts';

const REVISION = async (cluster: Cluster) => (await cluster.store.list('/')).revision;

describe("the subnet is another host's", () => {
  test.each([
    ['with an etcd lease', 86_400],
    ['without one', undefined],
  ])('overwritten %s: conflicted, and nothing is ever written to that key', async (_what, ttl) => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    const theirs = await (ttl === undefined
      ? cluster.reserve('10.5.1.0-24')
      : cluster.lease('10.5.1.0-24', value(OTHER), ttl));
    await host.observe();
    expect(host.keeper.state.name).toBe('conflicted');
    // Also while it cannot lease another: it neither writes nor gives up what its containers use.
    for (const third of [2, 3, 4]) await cluster.lease(`10.5.${third}.0-24`);
    const before = await REVISION(cluster);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'out-of-subnets' });
    expect([host.keeper.state.name, host.keeper.isInUse, host.keeper.subnets.join()]).toEqual([
      'conflicted',
      true,
      '10.5.1.0/24',
    ]);
    expect(await REVISION(cluster)).toBe(before);
    await cluster.delete('10.5.3.0-24');
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect(host.keeper.state.name).toBe('held');
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
  });

  test('and is free again before another was leased: the host stays', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    await cluster.lease('10.5.4.0-24');
    await host.observe();
    await cluster.delete('10.5.4.0-24');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect([host.keeper.moved, host.keeper.state.name]).toEqual([undefined, 'held']);
  });

  test('the move is said for good, and the record follows', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    await cluster.lease('10.5.1.0-24');
    await host.observe();
    await host.ensure();
    expect(JSON.parse((await cluster.record(host)).value)).toMatchObject({ lease: '10.5.2.0-24' });
    cluster.pass(82_800);
    await host.ensure();
    expect(host.keeper.moved).toMatch(
      /10\.5\.1\.0\/24.*10\.5\.2\.0\/24: restart its containers, and then corduroyd/,
    );
    expect(host.log.loud.filter((line) => line.startsWith('error: '))).toHaveLength(2);
  });

  test('deleted, and leased by another before this host looked: it moves, and says so', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    await cluster.delete('10.5.1.0-24');
    await host.observe();
    expect(host.keeper.state.name).toBe('lost');
    const other = cluster.host({ publicIp: OTHER });
    expect(await other.subnet()).toBe('10.5.1.0/24');
    expect(await host.subnet()).toBe('10.5.2.0/24');
    expect(host.keeper.moved).toContain('10.5.1.0/24');
    await Promise.all([host.observe(), other.observe()]);
    expect([host.keeper.state.name, other.keeper.state.name]).toEqual(['held', 'held']);
  });

  test('overlapped by a lease of another length that no machine holds: it stays', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    await cluster.lease('10.5.0.0-16');
    await cluster.delete('10.5.1.0-24');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.1.0/24');
    // Who has none yet is not let in, and hears which key it is.
    await expect(cluster.host({ publicIp: '192.0.2.3' }).ensure()).rejects.toThrow(
      /out of subnets.*10\.5\.0\.0-16, which is no subnet of this network/,
    );
  });

  test('overlapped by a lease of another length that a machine holds: it is taken', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    await cluster.delete('10.5.1.0-24');
    const wide = rangesOf({ Network: '10.5.0.0/16', SubnetLen: 20, SubnetMin: '10.5.0.0' });
    expect(await cluster.host({ publicIp: OTHER, ranges: wide, random: first }).subnet()).toBe('10.5.0.0/20');
    await host.observe();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'out-of-subnets' });
  });
});

describe('the lease is gone', () => {
  test('deleted: lost, and the same subnet again', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    await cluster.delete('10.5.4.0-24');
    await host.observe();
    expect(host.keeper.state).toMatchObject({ name: 'lost', reason: expect.stringMatching(/was deleted/) });
    expect([host.keeper.isInUse, host.keeper.subnets.join(), host.dueAt]).toEqual([
      true,
      '10.5.4.0/24',
      Number.NEGATIVE_INFINITY,
    ]);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
  });

  test('expired, while the host slept: the same subnet again, lease and record', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    const { key } = await host.ensure();
    cluster.pass(10 * 86_400);
    const held = await host.ensure();
    expect([held.key, (await cluster.record(host)).leaseId]).toEqual([key, held.session.id]);
    expect(host.keeper.moved).toBeUndefined();
  });

  test('expired, seen by the watch first', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    cluster.pass(10 * 86_400);
    await host.observe();
    expect(host.keeper.state.name).toBe('lost');
    expect(await host.subnet()).toBe('10.5.4.0/24');
  });

  test('the etcd lease is revoked by hand, with lease and record', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    const { session } = await host.ensure();
    await cluster.store.revokeLease(session.id);
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
  });

  test('everything under the prefix is deleted but the config: each host takes its own again', async () => {
    const cluster = await Cluster.create();
    const hosts = [1, 2, 3, 4].map((n) =>
      cluster.host({ publicIp: `192.0.2.${n}`, nodeId: nodeIdOf(`${n}`) }),
    );
    const before: string[] = [];
    for (const host of hosts) before.push(await host.subnet());
    for (const { key } of (await cluster.store.list(FOLDER)).entries)
      await cluster.store.transaction([], [{ do: 'delete', key }]);
    for (const host of hosts) await host.observe();
    expect(await Promise.all(hosts.toReversed().map((host) => host.subnet()))).toEqual(before.toReversed());
  });

  test('the subnet is in use, not known to etcd, and the host starts anew: it comes before any other', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    host.keeper.recall((await cluster.host({ publicIp: OTHER, previous: ['10.5.3.0/24'] }).ensure()).subnets);
    await cluster.delete('10.5.3.0-24');
    // A flanneld's lease with its address, of before: the one whose addresses containers have counts.
    await cluster.lease('10.5.2.0-24', value(ME));
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect(host.keeper.moved).toBeUndefined();
  });
});

describe('the key is written over with a reservation for nobody', () => {
  test('no other host uses the subnet: this one stays', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    await cluster.reserve('10.5.4.0-24', value('0.0.0.0'));
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect([host.keeper.moved, host.keeper.state.name]).toEqual([undefined, 'held']);
    cluster.pass(100_000);
    expect(await host.subnet()).toBe('10.5.4.0/24');
  });
});
