import { describe, expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { Cluster, FOLDER, last, ME, OTHER } from './cluster.ts';
import { attributes, DUAL, value } from './fixtures.ts';

describe('a new lease', () => {
  test("is written in flannel's form, with an etcd lease of its own", async () => {
    const cluster = await Cluster.create();
    const held = await cluster.host().ensure();
    const entry = await cluster.entry('/net/subnets/10.5.1.0-24');
    expect(entry.value).toBe('{"PublicIP":"192.0.2.1","PublicIPv6":null}');
    expect(held).toMatchObject({
      key: entry.key,
      modRevision: entry.modRevision,
      session: { id: entry.leaseId },
      reserved: false,
    });
    expect(await cluster.store.leaseInfo(held.session.id)).toEqual({
      ttl: 86_400,
      grantedTtl: 86_400,
    });
  });

  test('dual stack', async () => {
    const cluster = await Cluster.create();
    expect(await cluster.host({ ranges: DUAL }).subnet()).toBe('10.5.1.0/24 fd00:0:0:1::/64');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24&fd00:0:0:1::-64 ${ME}`]);
  });

  test('the previous subnet, if it is free; else another', async () => {
    const cluster = await Cluster.create();
    expect(await cluster.host({ previous: ['10.5.3.0/24'] }).subnet()).toBe('10.5.3.0/24');
    const other = cluster.host({ publicIp: OTHER, previous: ['10.5.3.0/24'] });
    expect(await other.subnet()).toBe('10.5.1.0/24');
  });

  test('a subnet whose lease has a malformed value is nobody’s to take', async () => {
    const cluster = await Cluster.create();
    const { key } = await cluster.reserve('10.5.1.0-24', 'a typing error');
    expect(await cluster.host({ previous: ['10.5.1.0/24'] }).subnet()).toBe('10.5.2.0/24');
    expect((await cluster.entry(key)).value).toBe('a typing error');
  });

  test('is held: nothing more is asked of etcd until it is due', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const held = await host.ensure();
    cluster.store.setAvailable(false);
    expect(await host.ensure()).toBe(held);
  });
});

describe('out of subnets', () => {
  async function full() {
    const cluster = await Cluster.create();
    for (const third of [1, 2, 3, 4]) await cluster.lease(`10.5.${third}.0-24`);
    return cluster;
  }

  test('the error says what is full and where to look; no etcd lease is left behind', async () => {
    const cluster = await full();
    const before = await cluster.store.living();
    await expect(cluster.host().ensure()).rejects.toMatchObject({
      code: 'out-of-subnets',
      retryable: true,
      message:
        'out of subnets: all 4 subnets of 10.5.0.0/16 from 10.5.1.0 to 10.5.4.0 are leased. ' +
        'See them with: corduroy leases list. This host takes the first that is freed',
    });
    expect(await cluster.store.living()).toEqual(before);
  });

  test('the next try takes what has been freed', async () => {
    const cluster = await full();
    const host = cluster.host();
    await expect(host.ensure()).rejects.toThrow(/^out of subnets/);
    await cluster.delete('10.5.3.0-24');
    expect(await host.subnet()).toBe('10.5.3.0/24');
  });
});

describe("taking over the host's own lease", () => {
  test('as it stands: nothing is written, the etcd lease is renewed and no other made', async () => {
    const cluster = await Cluster.create();
    const { key } = await cluster.host({ previous: ['10.5.3.0/24'] }).ensure();
    const before = await cluster.entry(key);
    cluster.pass(50_000);
    const { revision } = await cluster.store.list('/');
    const held = await cluster.host({ previous: ['10.5.1.0/24'] }).ensure();
    expect(held).toMatchObject({
      key: '/net/subnets/10.5.3.0-24',
      modRevision: before.modRevision,
      session: { id: before.leaseId },
    });
    expect(await cluster.store.list('/')).toMatchObject({ revision });
    expect((await cluster.store.leaseInfo(before.leaseId as never)).ttl).toBe(86_400);
    expect(cluster.store.granted).toHaveLength(1);
  });

  test.each([
    ['another value', `{"PublicIP":"${ME}","PublicIPv6":null,"BackendType":"vxlan"}`, 86_400],
    ['another time to live', value(ME), 3600],
  ])(
    'with %s: the key is written once, and peers see the subnet all the time',
    async (_what, content, ttl) => {
      const cluster = await Cluster.create();
      const before = await cluster.lease('10.5.3.0-24', content, ttl);
      const held = await cluster.host().ensure();
      const after = await cluster.entry(before.key);
      expect(after).toMatchObject({
        value: value(ME),
        createRevision: before.createRevision,
        leaseId: held.session.id,
      });
      expect(after.modRevision).toBe(held.modRevision);
      expect((await cluster.store.leaseInfo(after.leaseId as never)).grantedTtl).toBe(86_400);
      expect(await cluster.leases()).toEqual([`10.5.3.0-24 ${ME}`]);
    },
  );

  test('one that does not fit is deleted and another leased', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.9.0-24', value(ME));
    await cluster.lease('10.5.2.0-25', value(ME));
    const host = cluster.host();
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
    expect(host.log.loud).toHaveLength(2);
    expect(host.log.loud[0]).toMatch(/^warn: deleting this host's lease \/net\/subnets\/10\.5\.[29]\.0/);
  });
});

describe('a reservation: a key without an etcd lease', () => {
  test('of this host is its lease, and is never given a time to live', async () => {
    const cluster = await Cluster.create();
    const before = await cluster.reserve('10.5.3.0-24', value(ME));
    const host = cluster.host();
    expect(await host.ensure()).toMatchObject({ key: before.key, reserved: true });
    cluster.pass(10 * 365 * 86_400);
    expect(await host.ensure()).toMatchObject({ key: before.key, reserved: true });
    expect(await cluster.entry(before.key)).toEqual(before);
    // What the record beside it hangs on is another matter: that expired, and is written again.
    expect((await cluster.record(host)).leaseId).toBe(host.keeper.held?.session.id);
    expect(cluster.store.granted).toHaveLength(2);
  });

  test('with another value is rewritten, still without a time to live', async () => {
    const cluster = await Cluster.create();
    const content = formatLeaseValue({ ...attributes(ME), backendType: 'vxlan' });
    const { key } = await cluster.reserve('10.5.3.0-24', content);
    const { modRevision } = await cluster.host().ensure();
    expect(await cluster.entry(key)).toMatchObject({ value: value(ME), leaseId: undefined, modRevision });
  });

  test('that does not fit stays, and its subnet is not used', async () => {
    const cluster = await Cluster.create();
    const before = await cluster.reserve('10.5.1.0-25', value(ME));
    expect(await cluster.host().subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });

  test('of another host is never handed out, however old it is', async () => {
    const cluster = await Cluster.create();
    const before = await cluster.reserve('10.5.4.0-24');
    cluster.pass(10 * 365 * 86_400);
    expect(await cluster.host({ random: last }).subnet()).toBe('10.5.3.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
  });

  test('is not given back', async () => {
    const cluster = await Cluster.create();
    await cluster.reserve('10.5.3.0-24', value(ME));
    const host = cluster.host();
    await host.ensure();
    await host.keeper.release();
    expect(await cluster.leases()).toEqual([`10.5.3.0-24 ${ME}`]);
  });
});

describe('release', () => {
  test('deletes the key and ends the etcd lease', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    await host.ensure();
    await host.keeper.release();
    expect(await cluster.leases()).toEqual([]);
    expect(await cluster.store.living()).toEqual([]);
    expect(host.keeper.held).toBeUndefined();
    await host.keeper.release();
  });

  test("leaves a key that has become another host's", async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const { key } = await host.ensure();
    const theirs = await cluster.lease(key.slice(FOLDER.length));
    await host.keeper.release();
    expect(await cluster.entry(key)).toEqual(theirs);
  });

  test('while etcd is away: an error, and the lease is looked at anew', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host();
    const held = await host.ensure();
    cluster.store.setAvailable(false);
    await expect(host.keeper.release()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect([host.keeper.state.name, host.keeper.isInUse]).toEqual(['at-risk', true]);
    // Nobody may be told that what is not held was given back.
    await expect(host.keeper.release()).rejects.toMatchObject({ code: 'conflict' });
    cluster.store.setAvailable(true);
    expect((await host.ensure()).modRevision).toBe(held.modRevision);
  });
});
