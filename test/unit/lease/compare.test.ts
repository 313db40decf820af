import { describe, expect, test } from 'vitest';
import { Prefix } from '../../../src/net/prefix.ts';
import { Cluster, type Host, lastThenFirst, OTHER } from './cluster.ts';

async function held(ttl = 120): Promise<[Cluster, Host]> {
  const cluster = await Cluster.create();
  const host = cluster.host({ random: lastThenFirst(), ttl, renewMargin: 60 });
  await host.ensure();
  return [cluster, host];
}

describe('everything was read anew', () => {
  test('as of before the own write: looked at, and where it stands, held again with nothing written', async () => {
    const [cluster, host] = await held();
    const { node, modRevision } = await host.ensure();
    host.keeper.compare(node.modRevision - 1n);
    expect(host.keeper.state).toMatchObject({
      name: 'at-risk',
      reason: expect.stringMatching(/is older than/),
    });
    expect([host.keeper.held, host.dueAt, host.log.loud]).toEqual([undefined, Number.NEGATIVE_INFINITY, []]);
    expect(await host.ensure()).toMatchObject({ modRevision, node });
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
    expect((await cluster.store.list('/')).revision).toBe(node.modRevision);
  });

  test('and etcd was restored without it: taken again', async () => {
    const cluster = await Cluster.create();
    const backup = cluster.store.snapshot();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    cluster.store.restore(backup);
    host.keeper.compare(backup.revision);
    host.keeper.observe(await cluster.state(), backup.revision);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toHaveLength(1);
  });

  test("there is no grace in it: what is another's is left at once, for a snapshot may just be late", async () => {
    const [cluster, host] = await held();
    const before = host.keeper.stayUntil;
    host.keeper.compare(0n);
    expect(host.keeper.stayUntil).toBe(before);
    expect(before).toBeLessThan(cluster.clock.ms);
    await cluster.lease('10.5.4.0-24');
    expect(await host.subnet()).not.toBe('10.5.4.0/24');
    expect(await cluster.leases()).toContain(`10.5.4.0-24 ${OTHER}`);
  });

  test('as of the own write, or later: nothing', async () => {
    const [, host] = await held();
    const before = await host.ensure();
    for (const later of [0n, 1n, 100n]) host.keeper.compare(before.node.modRevision + later);
    expect([host.keeper.held, host.keeper.state.name]).toEqual([before, 'held']);
  });

  test('while nothing is held: nothing', async () => {
    const cluster = await Cluster.create();
    const fresh = cluster.host();
    fresh.keeper.compare(0n);
    expect(fresh.keeper.state.name).toBe('acquiring');
    const remembering = cluster.host({ publicIp: OTHER });
    remembering.keeper.recall([Prefix.parse('10.5.3.0/24')]);
    remembering.keeper.remember();
    const { state } = remembering.keeper;
    remembering.keeper.compare(0n);
    expect(remembering.keeper.state).toEqual(state);
    expect([fresh.log.lines, remembering.log.loud]).toEqual([[], []]);
  });

  test.each<[string, (cluster: Cluster) => Promise<unknown>]>([
    ['lost', (cluster) => cluster.delete('10.5.4.0-24')],
    ['conflicted', (cluster) => cluster.lease('10.5.4.0-24')],
  ])('while it is %s: it stays so, and the reason as well', async (name, happens) => {
    const [cluster, host] = await held();
    await happens(cluster);
    await host.observe();
    const { state } = host.keeper;
    host.keeper.compare(0n);
    expect(host.keeper.state).toEqual(state);
    expect(state.name).toBe(name);
  });

  test('while it is being written: the answer tells, and nothing is doubted', async () => {
    const [cluster, host] = await held();
    host.become({ publicIp: '192.0.2.77' });
    cluster.store.afterTransaction = async () => host.keeper.compare(0n);
    await host.ensure();
    expect([host.keeper.state.name, host.log.lines.filter((line) => /older/.test(line))]).toEqual([
      'held',
      [],
    ]);
  });
});

describe('at risk for a while', () => {
  test('the reason tells the time that is left now; since when stays', async () => {
    const [cluster, host] = await held(1200);
    cluster.store.setAvailable(false);
    const seen: { left: number; since: number }[] = [];
    let overdue = '';
    for (let second = 0; second < 1400; second++) {
      cluster.pass(1);
      if (host.dueAt <= cluster.clock.ms) await host.ensure().catch(() => undefined);
      const { name, reason, since } = host.keeper.state;
      if (name !== 'at-risk') continue;
      const left = /expires in (\d+) s/.exec(reason)?.[1];
      if (left === undefined) overdue = reason;
      else seen.push({ left: Number(left), since });
      // Never further from the truth than the longest pause between two tries.
      if (left !== undefined)
        expect(Math.abs(Number(left) - (1200 - cluster.clock.ms / 1000))).toBeLessThan(11);
    }
    expect(new Set(seen.map(({ left }) => left)).size).toBeGreaterThan(2);
    expect(seen.map(({ left }) => left)).toEqual(
      seen.map(({ left }) => left).toSorted((one, other) => other - one),
    );
    expect(new Set(seen.map(({ since }) => since)).size).toBe(1);
    expect(overdue).toMatch(/may have expired: then another host may lease/);
    expect(host.keeper.state.since).toBe(seen[0]?.since);
  });
});
