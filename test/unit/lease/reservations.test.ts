import { describe, expect, test } from 'vitest';
import { formatReservation, reservationKey } from '../../../src/lease/reservation.ts';
import { Cluster, FOLDER, lastThenFirst, ME, nodeIdOf, OTHER } from './cluster.ts';
import { PREFIX, value } from './fixtures.ts';

/** As `corduroy leases reserve` writes it: a lease key that never expires, and a key that says for whom. */
async function reserveFor(cluster: Cluster, name: string, host?: string, publicIp = '0.0.0.0') {
  const content = value(publicIp);
  if (host !== undefined) await cluster.put(reservationKey(PREFIX, name), formatReservation({ host }));
  return cluster.reserve(name, content);
}

const DB1 = { hostName: 'db1', nodeId: nodeIdOf('db1') };

describe('a reservation is honoured', () => {
  test.each([
    ['by host name', 'db1'],
    ['by node id', nodeIdOf('db1')],
  ])('%s, whatever the address: it becomes the lease, never with a time to live', async (_what, host) => {
    const cluster = await Cluster.create();
    const { key } = await reserveFor(cluster, '10.5.3.0-24', host, OTHER);
    const db1 = cluster.host(DB1);
    expect(await db1.ensure()).toMatchObject({ key, reserved: true });
    expect(await cluster.entry(key)).toMatchObject({ value: value(ME), leaseId: undefined });
    // Its record hangs on an etcd lease, so that a host that is gone is known to be.
    expect((await cluster.record(db1)).leaseId).toBe(db1.keeper.held?.session.id);
    await db1.observe();
    expect(db1.keeper.state.name).toBe('held');
    cluster.pass(10 * 365 * 86_400);
    expect(await cluster.leases()).toEqual([`10.5.3.0-24 ${ME}`]);
    expect(await db1.subnet()).toBe('10.5.3.0/24');
    expect((await cluster.entry(key)).leaseId).toBeUndefined();
  });

  test('by public address, as flannel does it', async () => {
    const cluster = await Cluster.create();
    const before = await reserveFor(cluster, '10.5.3.0-24', undefined, ME);
    const host = cluster.host(DB1);
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });

  test('and its host changes its address: the value follows, the key stays without an etcd lease', async () => {
    const cluster = await Cluster.create();
    const { key } = await reserveFor(cluster, '10.5.3.0-24', 'db1');
    const host = cluster.host(DB1);
    await host.ensure();
    host.become({ publicIp: '192.0.2.77' });
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect(await cluster.entry(key)).toMatchObject({ value: value('192.0.2.77'), leaseId: undefined });
  });

  test('and its host starts anew: nothing is written', async () => {
    const cluster = await Cluster.create();
    await reserveFor(cluster, '10.5.3.0-24', 'db1');
    await cluster.host(DB1).ensure();
    const { revision } = await cluster.store.list('/');
    expect(await cluster.host(DB1).ensure()).toMatchObject({ reserved: true });
    expect((await cluster.store.list('/')).revision).toBe(revision);
  });
});

describe('a reservation is not handed out', () => {
  test.each([
    ['for another host name', 'db2', '0.0.0.0'],
    ['for another node id', nodeIdOf('db2'), '0.0.0.0'],
    ['for nobody', undefined, '0.0.0.0'],
    ['for another address', undefined, OTHER],
    // The name decides: an address may be handed to another machine.
    ['for another host, with this address in it', 'db2', ME],
  ])('%s', async (_what, host, publicIp) => {
    const cluster = await Cluster.create();
    const before = await reserveFor(cluster, '10.5.4.0-24', host, publicIp);
    expect(
      await cluster.host({ ...DB1, random: lastThenFirst(), previous: ['10.5.4.0/24'] }).subnet(),
    ).not.toBe('10.5.4.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });

  test('also not when nothing else is left', async () => {
    const cluster = await Cluster.create();
    for (const third of [1, 2, 3, 4]) await reserveFor(cluster, `10.5.${third}.0-24`, 'db2');
    await expect(cluster.host(DB1).ensure()).rejects.toMatchObject({ code: 'out-of-subnets' });
  });

  test('one whose host is not readable is for nobody', async () => {
    const cluster = await Cluster.create();
    await cluster.put(reservationKey(PREFIX, '10.5.1.0-24'), '{"host":');
    const before = await reserveFor(cluster, '10.5.1.0-24');
    expect(await cluster.host(DB1).subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });
});

describe('a host that has a lease already', () => {
  test('keeps it; the reservation waits until it has none', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host(DB1);
    expect(await host.subnet()).toBe('10.5.1.0/24');
    const before = await reserveFor(cluster, '10.5.3.0-24', 'db1');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(await cluster.host(DB1).subnet()).toBe('10.5.1.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
    const last = cluster.host(DB1);
    await last.ensure();
    await last.keeper.release();
    expect(await cluster.host(DB1).subnet()).toBe('10.5.3.0/24');
  });

  test('keeps the subnet in use, also where its lease was deleted meanwhile', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host(DB1);
    await host.ensure();
    await reserveFor(cluster, '10.5.3.0-24', 'db1');
    await cluster.delete('10.5.1.0-24');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(host.keeper.moved).toBeUndefined();
  });

  test('and its reservation is released, to be a lease like any other: it stays, and expires as others do', async () => {
    const cluster = await Cluster.create();
    await reserveFor(cluster, '10.5.3.0-24', 'db1');
    const host = cluster.host(DB1);
    await host.ensure();
    const { leaseId } = await cluster.record(host);
    // What `corduroy leases release` does: the same value on the holder's etcd lease, and nobody named any more.
    await cluster.put(`${FOLDER}10.5.3.0-24`, value(ME), leaseId);
    const named = reservationKey(PREFIX, '10.5.3.0-24');
    await cluster.store.transaction([], [{ do: 'delete', key: named }]);
    await host.observe();
    expect(await host.ensure()).toMatchObject({ reserved: false });
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
    cluster.stop(host);
    cluster.pass(86_401);
    expect(await cluster.leases()).toEqual([]);
  });

  test('and its reservation is deleted: it leases the same subnet, with a time to live', async () => {
    const cluster = await Cluster.create();
    await reserveFor(cluster, '10.5.3.0-24', 'db1');
    const host = cluster.host(DB1);
    await host.ensure();
    await cluster.delete('10.5.3.0-24');
    await host.observe();
    expect(await host.ensure()).toMatchObject({ key: `${FOLDER}10.5.3.0-24`, reserved: false });
    expect(host.keeper.moved).toBeUndefined();
  });
});

test('release: the record goes, the reservation stays for its host', async () => {
  const cluster = await Cluster.create();
  const { key } = await reserveFor(cluster, '10.5.3.0-24', 'db1');
  const host = cluster.host(DB1);
  await host.ensure();
  await host.keeper.release();
  await expect(cluster.record(host)).rejects.toThrow(/there is no/);
  expect(await cluster.entry(key)).toMatchObject({ leaseId: undefined });
  expect(await cluster.host(DB1).subnet()).toBe('10.5.3.0/24');
});
