import { describe, expect, test } from 'vitest';
import { Prefix } from '../../../src/net/prefix.ts';
import { Cluster, type Host, lastThenFirst, ME } from './cluster.ts';

/** Renews when it is due, as the daemon does, for so many seconds. @returns the states it went through */
async function live(cluster: Cluster, host: Host, seconds: number, step = 1): Promise<string[]> {
  const states = [host.keeper.state.name as string];
  for (let second = 0; second < seconds; second += step) {
    cluster.pass(step);
    if (host.dueAt <= cluster.clock.ms) await host.ensure().catch(() => undefined);
    if (host.keeper.state.name !== states.at(-1)) states.push(host.keeper.state.name);
  }
  return states;
}

async function held(ttl = 120, renewMargin = 60): Promise<[Cluster, Host]> {
  const cluster = await Cluster.create();
  const host = cluster.host({ ttl, renewMargin, random: lastThenFirst() });
  await host.ensure();
  return [cluster, host];
}

describe('a renewal that etcd does not answer', () => {
  test('renewing first, at risk from the half of the time that was left, and held when it answers', async () => {
    const [cluster, host] = await held();
    cluster.store.setAvailable(false);
    expect(await live(cluster, host, 85)).toEqual(['held', 'renewing']);
    expect(host.keeper.state.reason).toMatch(/is due, and etcd has not answered/);
    expect(await live(cluster, host, 20)).toEqual(['renewing', 'at-risk']);
    const { since } = host.keeper.state;
    expect(since).toBeGreaterThanOrEqual(90_000);
    expect(since).toBeLessThan(101_000);
    expect(host.keeper.state.reason).toMatch(/expires in \d+ s: then another host may lease/);
    cluster.store.setAvailable(true);
    expect(await live(cluster, host, 12)).toEqual(['at-risk', 'held']);
    expect(host.keeper.state.reason).toBe('');
    expect(host.keeper.moved).toBeUndefined();
  });

  test('until after its end: still in use, at risk; then it is taken again', async () => {
    const [cluster, host] = await held();
    cluster.store.setAvailable(false);
    expect(await live(cluster, host, 600)).toEqual(['held', 'renewing', 'at-risk']);
    expect([host.keeper.isInUse, host.keeper.subnets.join()]).toEqual([true, '10.5.4.0/24']);
    expect(host.log.loud).toEqual([]);
    cluster.store.setAvailable(true);
    // It finds the lease expired, and holds it again in the same step.
    expect(await live(cluster, host, 30)).toEqual(['at-risk', 'held']);
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(host.keeper.moved).toBeUndefined();
  });

  test('the tries come at a steady pace, neither many nor too few', async () => {
    const [cluster, host] = await held(86_400, 3600);
    let tries = 0;
    const { keepLease } = cluster.store;
    cluster.store.keepLease = async (id) => {
      tries++;
      return keepLease.call(cluster.store, id);
    };
    cluster.pass(82_800);
    cluster.store.setAvailable(false);
    await live(cluster, host, 3600);
    expect(tries).toBeGreaterThan(300);
    expect(tries).toBeLessThan(400);
  });

  test('one that fails once is no risk', async () => {
    const [cluster, host] = await held(86_400, 3600);
    cluster.pass(82_800);
    cluster.store.setAvailable(false);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(host.keeper.state.name).toBe('renewing');
    cluster.store.setAvailable(true);
    expect(await live(cluster, host, 11)).toEqual(['renewing', 'held']);
  });

  test('a host that slept past the end of its lease is at risk with the first try', async () => {
    const [cluster, host] = await held();
    cluster.pass(1000);
    cluster.store.setAvailable(false);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(['renewing', 'at-risk']).toContain(host.keeper.state.name);
    expect(await live(cluster, host, 2)).toContain('at-risk');
    expect(host.keeper.state.reason).toMatch(/may have expired/);
  });
});

describe('a start without etcd', () => {
  async function remembering(): Promise<[Cluster, Host]> {
    const cluster = await Cluster.create();
    const host = cluster.host();
    host.keeper.recall([Prefix.parse('10.5.3.0/24')]);
    host.keeper.remember();
    return [cluster, host];
  }

  test('the remembered subnet is in use, and at risk, until etcd has confirmed it', async () => {
    const [, host] = await remembering();
    expect([host.keeper.isInUse, host.keeper.subnets.join(), host.keeper.held]).toEqual([
      true,
      '10.5.3.0/24',
      undefined,
    ]);
    expect(host.keeper.state).toMatchObject({
      name: 'at-risk',
      reason: expect.stringMatching(/not confirmed it since the daemon started/),
    });
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
  });

  test('etcd has leased it to another meanwhile: the host moves, and says so', async () => {
    const [cluster, host] = await remembering();
    const theirs = await cluster.lease('10.5.3.0-24');
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(host.keeper.moved).toContain('10.5.3.0/24');
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
  });

  test('nothing is known: nothing is in use', async () => {
    const cluster = await Cluster.create();
    const { keeper } = cluster.host({ previous: ['10.5.3.0/24'] });
    keeper.remember();
    expect([keeper.isInUse, keeper.state.name]).toEqual([false, 'acquiring']);
  });
});

describe('release', () => {
  test('the host is without a lease then, and gets its subnet back if it asks again', async () => {
    const [cluster, host] = await held();
    await host.keeper.release();
    expect(host.keeper.state.name).toBe('acquiring');
    expect((await cluster.store.list('/net/corduroy/')).entries).toEqual([]);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(host.keeper.moved).toBeUndefined();
  });

  test('its deletion is no loss to the watch', async () => {
    const [cluster, host] = await held();
    await host.keeper.release();
    await host.observe();
    expect(host.log.loud).toEqual([]);
    expect(await cluster.leases()).toEqual([]);
  });
});
