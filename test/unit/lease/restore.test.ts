import { describe, expect, test } from 'vitest';
import { RESTORE_GRACE } from '../../../src/lease/lease-keeper.ts';
import { Cluster, type Host, lastThenFirst, ME, OTHER } from './cluster.ts';
import { PREFIX } from './fixtures.ts';

/** Nothing of this is in the backup: revisions that the restored etcd has to count again. */
async function work(cluster: Cluster): Promise<void> {
  for (let count = 0; count < 20; count++) await cluster.put(`${PREFIX}/corduroy/other`, `${count}`);
}

/** etcd is restored, and every host hears of it. */
async function restore(
  cluster: Cluster,
  backup: ReturnType<Cluster['store']['snapshot']>,
  ...hosts: Host[]
): Promise<void> {
  cluster.store.restore(backup);
  for (const host of hosts) await host.observe();
}

const stateOf = ({ keeper }: Host) => `${keeper.state.name} ${keeper.subnets.join(' ')}`;

describe('etcd is restored from a backup', () => {
  test('in which the lease is as it was: held again, and not a key is written', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const { modRevision } = await host.ensure();
    const backup = cluster.store.snapshot();
    await work(cluster);
    await host.observe();
    await restore(cluster, backup, host);
    expect(host.keeper.state).toMatchObject({
      name: 'at-risk',
      reason: expect.stringMatching(/back in time/),
    });
    expect(host.log.loud).toEqual([expect.stringMatching(/^warn: etcd has gone back in time/)]);
    expect(await host.ensure()).toMatchObject({ modRevision });
    expect((await cluster.store.list('/')).revision).toBe(backup.revision);
    expect(host.keeper.state.name).toBe('held');
  });

  test('from before the lease: the same subnet is leased again, by each host', async () => {
    const cluster = await Cluster.create();
    const backup = cluster.store.snapshot();
    const hosts = [ME, OTHER].map((publicIp) => cluster.host({ publicIp, random: lastThenFirst() }));
    const before: string[] = [];
    for (const host of hosts) before.push(await host.subnet());
    await work(cluster);
    for (const host of hosts) await host.observe();
    await restore(cluster, backup, ...hosts);
    expect(hosts.map((host) => host.keeper.held)).toEqual([undefined, undefined]);
    // Whoever comes first does not take the other's.
    expect(await Promise.all(hosts.toReversed().map((host) => host.subnet()))).toEqual(before.toReversed());
    expect(hosts.map(({ keeper }) => keeper.moved)).toEqual([undefined, undefined]);
  });

  test('whose revisions have overtaken the old ones before this host looked', async () => {
    const cluster = await Cluster.create();
    const backup = cluster.store.snapshot();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    cluster.store.restore(backup);
    await work(cluster);
    await host.observe();
    expect(host.keeper.held).toBeUndefined();
    expect(await host.subnet()).toBe('10.5.4.0/24');
  });
});

describe('the backup is from when the subnets were dealt otherwise', () => {
  /**
   * Then A had 10.5.1.0/24 and B nothing. Since then A was given 10.5.2.0/24, and B got 10.5.1.0/24: after the restore,
   * B's subnet is shown as A's.
   */
  async function redealt({ bHears = true } = {}) {
    const cluster = await Cluster.create();
    const early = cluster.host({ publicIp: ME });
    expect(await early.subnet()).toBe('10.5.1.0/24');
    const backup = cluster.store.snapshot();
    await early.keeper.release();
    cluster.stop(early);
    const a = cluster.host({ publicIp: ME, previous: ['10.5.2.0/24'] });
    expect(await a.subnet()).toBe('10.5.2.0/24');
    const b = cluster.host({ publicIp: OTHER });
    expect(await b.subnet()).toBe('10.5.1.0/24');
    await work(cluster);
    await a.observe();
    await b.observe();
    await restore(cluster, backup, a, ...(bHears ? [b] : []));
    return { cluster, a, b };
  }

  test('B looks first: it stays and waits; A puts its own right and deletes the old one; nobody moves', async () => {
    const { cluster, a, b } = await redealt();
    await expect(b.ensure()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/back in time/),
    });
    expect(stateOf(b)).toBe('conflicted 10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
    cluster.pass(1);
    expect(await a.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.leases()).toEqual([`10.5.2.0-24 ${ME}`]);
    await b.observe();
    expect(await b.subnet()).toBe('10.5.1.0/24');
    expect([a, b].map(stateOf)).toEqual(['held 10.5.2.0/24', 'held 10.5.1.0/24']);
    expect([a.keeper.moved, b.keeper.moved]).toEqual([undefined, undefined]);
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
  });

  test('A looks first: the new key and the deletion of the old one are one transaction', async () => {
    const { cluster, a, b } = await redealt();
    const { revision } = await cluster.store.list('/');
    await a.ensure();
    expect((await cluster.store.list('/')).revision).toBe(revision + 1n);
    expect(await b.subnet()).toBe('10.5.1.0/24');
    expect([a, b].map(stateOf)).toEqual(['held 10.5.2.0/24', 'held 10.5.1.0/24']);
  });

  test('A is not there any more: B waits for the grace, and then moves and says so', async () => {
    const { cluster, a, b } = await redealt();
    cluster.stop(a);
    for (let waited = 0; waited < RESTORE_GRACE; waited += 1000) {
      await expect(b.ensure()).rejects.toMatchObject({ code: 'conflict' });
      expect(b.keeper.moved).toBeUndefined();
      cluster.pass(1);
    }
    expect(await b.subnet()).toBe('10.5.2.0/24');
    expect(b.keeper.moved).toContain('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`, `10.5.2.0-24 ${OTHER}`]);
  });

  test('B was cut off, and hears of it when the revisions are past the old ones: it sees it by its key, and stays', async () => {
    const { cluster, b } = await redealt({ bHears: false });
    for (let times = 0; times < 3; times++) await work(cluster);
    await b.observe();
    expect(b.log.lines.join()).not.toContain('back in time');
    await expect(b.ensure()).rejects.toMatchObject({ code: 'conflict' });
    expect(b.keeper.subnets.join()).toBe('10.5.1.0/24');
  });
});
