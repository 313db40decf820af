import { describe, expect, test } from 'vitest';
import { Cluster, FOLDER, lastThenFirst, ME, OTHER } from './cluster.ts';
import { PREFIX, value } from './fixtures.ts';

describe('what happens to the lease in etcd', () => {
  test('nothing: it is held', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const held = await host.ensure();
    await cluster.lease('10.5.2.0-24');
    await host.observe();
    expect(host.keeper.held).toBe(held);
    expect(host.log.loud).toEqual([]);
  });

  test('it is deleted: taken again with the same subnet', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    await host.ensure();
    await cluster.delete('10.5.4.0-24');
    await host.observe();
    expect(host.log.loud).toEqual([expect.stringMatching(/^warn: the lease .*10\.5\.4\.0-24 was deleted/)]);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
  });

  test("it is overwritten with another host's address: a conflict is logged, and another subnet leased", async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    const theirs = await cluster.lease('10.5.1.0-24', value(OTHER));
    await host.observe();
    expect(host.log.loud).toEqual([
      expect.stringMatching(/^error: conflict: .*10\.5\.1\.0-24 .*public address 192\.0\.2\.2/),
    ]);
    expect(host.keeper.state).toMatchObject({
      name: 'conflicted',
      reason: expect.stringMatching(/192\.0\.2\.2/),
    });
    // Its containers go on with the addresses they have, until another subnet is leased.
    expect([host.keeper.isInUse, host.keeper.subnets.join()]).toEqual([true, '10.5.1.0/24']);
    expect(await host.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
    await host.observe();
    expect(await host.subnet()).toBe('10.5.2.0/24');
    cluster.pass(82_800);
    await host.ensure();
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
    expect(host.keeper.state).toMatchObject({ name: 'held', reason: '' });
    // The conflict, and that the host has moved.
    expect(host.log.loud).toHaveLength(2);
    expect(host.keeper.moved).toMatch(
      /has changed from 10\.5\.1\.0\/24,.* to 10\.5\.2\.0\/24: restart its containers/,
    );
  });

  test.each([
    ['with an etcd lease', 86_400],
    ['with one that ends soon', 5],
    ['without an etcd lease', undefined],
  ])('it is overwritten with rubbish, %s: put right, and the host stays', async (_what, ttl) => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    const { key } = await host.ensure();
    await (ttl === undefined
      ? cluster.reserve('10.5.4.0-24', 'rubbish')
      : cluster.lease('10.5.4.0-24', 'rubbish', ttl));
    await host.observe();
    expect(host.log.loud).toEqual([
      expect.stringMatching(/^warn: .*10\.5\.4\.0-24 was overwritten .*putting it right/),
    ]);
    const held = await host.ensure();
    expect(await cluster.entry(key)).toMatchObject({ value: value(ME), modRevision: held.modRevision });
    expect((await cluster.record(host)).leaseId).toBe(held.session.id);
    cluster.pass(60);
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(host.keeper.moved).toBeUndefined();
    expect(host.keeper.state.name).toBe('held');
  });

  test('it is overwritten without an etcd lease: a conflict too', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    const theirs = await cluster.reserve('10.5.1.0-24');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(theirs.key)).toEqual(theirs);
  });

  test("it is rewritten with this host's address, by a flanneld: taken over without a quarrel", async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    const { key } = await host.ensure();
    await cluster.lease(key.slice(FOLDER.length), value(ME), 60);
    await host.observe();
    expect(host.log.loud).toEqual([]);
    expect(host.keeper.state.name).toBe('at-risk');
    const held = await host.ensure();
    expect(held.key).toBe(key);
    // Lease and record hang on one etcd lease again, and it is this host's.
    expect([(await cluster.entry(key)).leaseId, (await cluster.record(host)).leaseId]).toEqual([
      held.session.id,
      held.session.id,
    ]);
    cluster.pass(61);
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(host.keeper.moved).toBeUndefined();
  });

  test("it is rewritten with this host's address and no etcd lease, pinned by somebody: it stays so", async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    const { key } = await host.ensure();
    const pinned = await cluster.reserve(key.slice(FOLDER.length), value(ME));
    await host.observe();
    expect(await host.ensure()).toMatchObject({ key, reserved: true, modRevision: pinned.modRevision });
    expect(host.keeper.state.name).toBe('held');
    for (let day = 0; day < 3; day++) {
      cluster.pass(82_800);
      await host.observe();
      expect(await host.subnet()).toBe('10.5.4.0/24');
    }
    expect(await cluster.entry(key)).toEqual(pinned);
  });

  test('an event from before its own write is not a conflict', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.1.0-24', `{"PublicIP":"${ME}","BackendType":"vxlan"}`);
    const stale = await cluster.state();
    const { revision } = await cluster.store.list(PREFIX);
    const host = cluster.host();
    const held = await host.ensure();
    host.keeper.observe(stale, revision);
    expect(host.keeper.held).toBe(held);
  });

  test('a table from before its own creation is not a deletion', async () => {
    const cluster = await Cluster.create();
    const empty = await cluster.state();
    const { revision } = await cluster.store.list(PREFIX);
    const host = cluster.host();
    const held = await host.ensure();
    host.keeper.observe(empty, revision);
    expect(host.keeper.held).toBe(held);
  });

  test.each([
    ['a conflict', () => value(OTHER), '10.5.2.0/24'],
    ['a deletion', () => undefined, '10.5.1.0/24'],
  ])('%s that is seen while a renewal is under way is not forgotten', async (_what, content, subnet) => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    cluster.store.afterKeepLease = async () => {
      cluster.store.afterKeepLease = undefined;
      const text = content();
      await (text === undefined ? cluster.delete('10.5.1.0-24') : cluster.lease('10.5.1.0-24', text));
      await host.observe();
    };
    cluster.pass(82_800);
    expect(await host.subnet()).toBe(subnet);
    expect(await cluster.leases()).toContain(`${subnet.replace('/', '-')} ${ME}`);
  });
});
