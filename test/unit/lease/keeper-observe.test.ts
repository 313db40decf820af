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

  test.each([
    ["another host's address", value(OTHER), /conflict: .*10\.5\.1\.0-24 .*public address 192\.0\.2\.2/],
    ['rubbish', 'rubbish', /conflict: .*10\.5\.1\.0-24 .*an unreadable value/],
  ])(
    'it is overwritten with %s: a conflict is logged, and another subnet leased',
    async (_what, content, says) => {
      const cluster = await Cluster.create();
      const host = cluster.host();
      await host.ensure();
      const theirs = await cluster.lease('10.5.1.0-24', content);
      await host.observe();
      expect(host.log.loud).toEqual([expect.stringMatching(says)]);
      expect(host.log.loud[0]).toMatch(/^error: /);
      expect(await host.subnet()).toBe('10.5.2.0/24');
      expect(await cluster.entry(theirs.key)).toEqual(theirs);
      await host.observe();
      expect(await host.subnet()).toBe('10.5.2.0/24');
      cluster.pass(82_800);
      await host.ensure();
      expect(await cluster.entry(theirs.key)).toEqual(theirs);
      // The conflict, and that the host has moved.
      expect(host.log.loud).toHaveLength(2);
      expect(host.keeper.moved).toMatch(/has changed from 10\.5\.\d\.0\/24,.* restart its containers/);
    },
  );

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
    const host = cluster.host();
    const { key } = await host.ensure();
    const theirs = await cluster.lease(key.slice(FOLDER.length), value(ME));
    await host.observe();
    expect(host.log.loud).toEqual([]);
    expect(await host.ensure()).toMatchObject({
      key,
      modRevision: theirs.modRevision,
      timed: { id: theirs.leaseId },
    });
    expect(await cluster.entry(key)).toEqual(theirs);
  });

  test('an event from before its own write is not a conflict', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.1.0-24', `{"PublicIP":"${ME}","BackendType":"vxlan"}`);
    const stale = await cluster.table();
    const { revision } = await cluster.store.list(PREFIX);
    const host = cluster.host();
    const held = await host.ensure();
    host.keeper.observe(stale, revision);
    expect(host.keeper.held).toBe(held);
  });

  test('a table from before its own creation is not a deletion', async () => {
    const cluster = await Cluster.create();
    const empty = await cluster.table();
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
