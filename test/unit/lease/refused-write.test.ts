import { describe, expect, test } from 'vitest';
import { CorduroyError } from '../../../src/errors.ts';
import { Cluster, last, lastThenFirst, ME, nodeIdOf } from './cluster.ts';
import { value } from './fixtures.ts';

const TRIES = 10;

/** Every transaction fails like this from now on, and changes nothing. */
function refuse({ store }: Cluster, code: 'store-denied' | 'store-protocol' | 'store-unavailable'): void {
  store.beforeTransaction = async () => {
    throw new CorduroyError(code, 'refused by a test', { retryable: code === 'store-unavailable' });
  };
}

describe('a write that etcd answers with a refusal leaves no etcd lease behind', () => {
  test.each(['store-denied', 'store-protocol'] as const)('%s, however often: a new lease', async (code) => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    refuse(cluster, code);
    for (let count = 0; count < TRIES; count++) {
      await expect(host.ensure()).rejects.toMatchObject({ code });
      expect(await cluster.store.living()).toEqual([]);
    }
    expect(cluster.store.granted).toHaveLength(TRIES);
    cluster.store.beforeTransaction = undefined;
    const { session } = await host.ensure();
    expect(await cluster.store.living()).toEqual([session.id]);
  });

  test('a take-over: only that of the lease itself lives', async () => {
    const cluster = await Cluster.create();
    const { leaseId } = await cluster.lease('10.5.2.0-24', value(ME), 3600);
    const host = cluster.host();
    refuse(cluster, 'store-denied');
    for (let count = 0; count < TRIES; count++) {
      await expect(host.ensure()).rejects.toMatchObject({ code: 'store-denied' });
      expect(await cluster.store.living()).toEqual([leaseId]);
    }
  });

  test('a changed address: the lease of before stands, by its etcd lease', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ nodeId: nodeIdOf('m') });
    const { session } = await host.ensure();
    host.become({ publicIp: '192.0.2.77' });
    refuse(cluster, 'store-denied');
    for (let count = 0; count < TRIES; count++) {
      await expect(host.ensure()).rejects.toMatchObject({ code: 'store-denied' });
      expect(await cluster.store.living()).toEqual([session.id]);
    }
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
  });

  test('refused after a race was lost in the same try: none either', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    cluster.store.beforeTransaction = async () => {
      refuse(cluster, 'store-denied');
      await cluster.reserve('10.5.1.0-24');
    };
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-denied' });
    expect(await cluster.store.living()).toEqual([]);
  });
});

describe('a write without an answer may have been carried out: its etcd lease is kept', () => {
  test('it was: the key lives, and the next try holds it by that very lease', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: lastThenFirst() });
    cluster.store.loseNextAnswer();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    const [id] = await cluster.store.living();
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(await host.ensure()).toMatchObject({ key: '/net/subnets/10.5.4.0-24', session: { id } });
    expect(await cluster.store.living()).toEqual([id]);
  });

  test('it was not: it expires by itself', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: last });
    refuse(cluster, 'store-unavailable');
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(await cluster.store.living()).toHaveLength(1);
    cluster.pass(86_401);
    expect(await cluster.store.living()).toEqual([]);
  });
});
