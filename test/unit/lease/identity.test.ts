import { describe, expect, test } from 'vitest';
import { Cluster, FOLDER, lastThenFirst, ME, nodeIdOf, OTHER } from './cluster.ts';
import { PREFIX, value } from './fixtures.ts';

const NEW = '192.0.2.77';

describe('a machine is known by its id, whatever its address', () => {
  test('its address changes: same subnet, lease and record rewritten in one transaction', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
    await host.ensure();
    host.become({ publicIp: NEW });
    expect(host.dueAt).toBe(Number.NEGATIVE_INFINITY);
    const { key, modRevision, session } = await host.ensure();
    const [lease, record] = [await cluster.entry(key), await cluster.record(host)];
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${NEW}`]);
    expect(JSON.parse(record.value)).toMatchObject({ publicIP: NEW, lease: '10.5.4.0-24' });
    expect([lease.modRevision, record.modRevision]).toEqual([modRevision, modRevision]);
    expect([lease.leaseId, record.leaseId]).toEqual([session.id, session.id]);
    // Peers see one change of one key: it was never away.
    expect(lease.createRevision).toBeLessThan(modRevision);
    await host.observe();
    expect([host.keeper.held?.key, host.keeper.moved]).toEqual([key, undefined]);
  });

  test('and while etcd is away: it is published when etcd is back, and nothing is lost meanwhile', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
    await host.ensure();
    host.become({ publicIp: NEW });
    cluster.store.setAvailable(false);
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(host.keeper.subnets.join()).toBe('10.5.4.0/24');
    cluster.store.setAvailable(true);
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${NEW}`]);
  });

  test('it changes between two starts: the lease that its record names is the one', async () => {
    const cluster = await Cluster.create();
    const before = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
    await before.ensure();
    cluster.stop(before);
    const after = cluster.host({ nodeId: nodeIdOf('m'), publicIp: NEW });
    expect(await after.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${NEW}`]);
  });

  test('hosts that exchange their addresses keep their subnets', async () => {
    const cluster = await Cluster.create();
    const [a, b] = [
      cluster.host({ nodeId: nodeIdOf('a'), publicIp: ME }),
      cluster.host({ nodeId: nodeIdOf('b'), publicIp: OTHER }),
    ];
    expect([await a.subnet(), await b.subnet()]).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
    a.become({ publicIp: OTHER });
    b.become({ publicIp: ME });
    await expect(a.ensure()).rejects.toMatchObject({ code: 'not-unique' });
    a.become({ publicIp: NEW });
    expect([await a.subnet(), await b.subnet()]).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
    a.become({ publicIp: OTHER });
    expect(await a.subnet()).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
  });

  test('a transaction that fails writes neither the lease nor the record', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.put(`${PREFIX}/config`, '{"Network": "10.6.0.0/16"}');
    };
    await expect(host.ensure()).rejects.toMatchObject({ code: 'conflict' });
    expect(await cluster.leases()).toEqual([]);
    await expect(cluster.record(host)).rejects.toThrow(/there is no/);
  });

  test('the record: what it says, and that it ends with the lease', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ hostName: 'h1', hardware: 'here' });
    const { key } = await host.ensure();
    expect((await cluster.record(host)).value).toBe(
      '{"hostName":"h1","version":"1.0.0","capabilities":["ecn"],"lease":"10.5.1.0-24","publicIP":"192.0.2.1","hardware":"here"}',
    );
    cluster.pass(86_401);
    expect((await cluster.store.list(`${PREFIX}/`)).entries.map((entry) => entry.key)).toEqual([
      `${PREFIX}/config`,
    ]);
    expect(key).toBe(`${FOLDER}10.5.1.0-24`);
  });

  test('the record is deleted, the lease is not: it is written again, and the lease stays', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
    await host.ensure();
    const { key } = await cluster.record(host);
    await cluster.store.transaction([], [{ do: 'delete', key }]);
    await host.observe();
    expect(host.keeper.state.name).toBe('at-risk');
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(JSON.parse((await cluster.entry(key)).value)).toMatchObject({ lease: '10.5.4.0-24' });
    expect(host.keeper.state.name).toBe('held');
    // And when another daemon starts there with another address, that is still this machine's.
    cluster.stop(host);
    expect(await cluster.host({ nodeId: nodeIdOf('m'), publicIp: NEW }).subnet()).toBe('10.5.4.0/24');
  });
});

describe('what hangs on the etcd lease that this host was granted is its own', () => {
  test('its record is deleted and its address changes at once: same subnet', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
    await host.ensure();
    const { key } = await cluster.record(host);
    await cluster.store.transaction([], [{ do: 'delete', key }]);
    host.become({ publicIp: NEW });
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${NEW}`]);
  });
});

describe("a flanneld's lease: one that no record names", () => {
  test('with this address is taken over: the key is written once, and hangs on one lease with the record', async () => {
    const cluster = await Cluster.create();
    const before = await cluster.lease('10.5.3.0-24', value(ME));
    const host = cluster.host();
    const { session, modRevision } = await host.ensure();
    const after = await cluster.entry(before.key);
    expect(after).toMatchObject({ createRevision: before.createRevision, modRevision, leaseId: session.id });
    expect(await cluster.record(host)).toMatchObject({ modRevision, leaseId: session.id });
    expect(host.log.loud).toEqual([]);
  });

  test("with another's address is left alone", async () => {
    const cluster = await Cluster.create();
    const before = await cluster.lease('10.5.1.0-24', value(OTHER));
    expect(await cluster.host().subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });

  test('a record that names it, and hangs on another etcd lease, proves nothing', async () => {
    const cluster = await Cluster.create();
    const liar = cluster.host({ publicIp: OTHER });
    await liar.ensure();
    const record = await cluster.record(liar);
    const theirs = await cluster.lease('10.5.3.0-24', value(ME));
    await cluster.put(record.key, record.value.replace('10.5.1.0-24', '10.5.3.0-24'), record.leaseId);
    const host = cluster.host();
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect((await cluster.entry(theirs.key)).leaseId).toBe(host.keeper.held?.session.id);
  });
});
