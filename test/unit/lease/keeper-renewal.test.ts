import { describe, expect, test } from 'vitest';
import { Cluster, lastThenFirst, ME } from './cluster.ts';

describe('renewal', () => {
  test.each<[number, number, number]>([
    // ttl, margin, renewed after; seconds
    [86_400, 3600, 82_800],
    [86_400, 60, 86_340],
    [600, 60, 540],
  ])('of a lease of %i s, %i s before it expires: after %i s', async (ttl, renewMargin, after) => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ttl, renewMargin });
    const { session } = await host.ensure();
    expect([host.dueAt, session.expiresAt]).toEqual([after * 1000, ttl * 1000]);
    cluster.pass(after - 1);
    await host.ensure();
    expect(cluster.store.renewals).toBe(0);
    cluster.pass(1);
    expect((await host.ensure()).session).toMatchObject({ expiresAt: (after + ttl) * 1000 });
    expect(cluster.store.renewals).toBe(1);
    expect(host.dueAt).toBe(2 * after * 1000);
  });

  test.each([
    [60, 3600],
    [3600, 3600],
    [5, 60],
  ])('of a lease of %i s with a margin of %i s: neither at once nor too late', async (ttl, renewMargin) => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ttl, renewMargin });
    await host.ensure();
    expect(host.dueAt).toBeGreaterThan(0.2 * ttl * 1000);
    expect(host.dueAt).toBeLessThan(0.5 * ttl * 1000);
  });

  test('writes no key, so that peers hear nothing of it', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const { key } = await host.ensure();
    const before = await cluster.entry(key);
    cluster.pass(82_800);
    await host.ensure();
    cluster.pass(82_800);
    expect(await cluster.entry(key)).toEqual(before);
  });

  test('counts from when it was asked for: the host never trusts its lease longer than etcd does', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ttl: 100, renewMargin: 40 });
    await host.ensure();
    cluster.store.afterKeepLease = async () => cluster.pass(7);
    cluster.pass(60);
    expect((await host.ensure()).session).toMatchObject({ expiresAt: 160_000, renewAt: 120_000 });
  });

  test('fails while etcd is away: the lease is still held, it is tried again soon, and not at once', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const { key } = await host.ensure();
    cluster.pass(82_800);
    cluster.store.setAvailable(false);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(host.keeper.held).toMatchObject({ key, session: { expiresAt: 86_400_000 } });
    const pause = host.dueAt - cluster.clock.ms;
    expect(pause).toBeGreaterThanOrEqual(500);
    expect(pause).toBeLessThanOrEqual(60_000);
    cluster.store.setAvailable(true);
    cluster.pass(pause / 1000);
    await host.ensure();
    expect(cluster.store.renewals).toBe(1);
  });

  test('of a short lease is tried again before the lease ends', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ttl: 6, renewMargin: 60 });
    const { session } = await host.ensure();
    cluster.pass(2);
    cluster.store.setAvailable(false);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(host.dueAt).toBeLessThan(session.expiresAt);
  });

  test('finds the lease expired: it is taken again, with the same subnet', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    cluster.pass(100_000);
    expect(await cluster.leases()).toEqual([]);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(host.log.loud).toEqual([
      expect.stringMatching(/^warn: the lease .*10\.5\.4\.0-24 has expired in etcd/),
    ]);
    expect(host.dueAt).toBeGreaterThan(cluster.clock.ms);
  });

  test('finds it expired, and the subnet leased by another host: another subnet', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    cluster.pass(100_000);
    const theirs = await cluster.lease('10.5.1.0-24');
    expect(await host.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
  });
});
