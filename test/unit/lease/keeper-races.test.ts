import { describe, expect, test } from 'vitest';
import { Cluster, first, last, ME, OTHER } from './cluster.ts';
import { CONFIG_KEY, rangesOf, value } from './fixtures.ts';

describe('two hosts after the same subnet', () => {
  test('that start at the same moment get different ones', async () => {
    const cluster = await Cluster.create();
    const hosts = [ME, OTHER].map((publicIp) => cluster.host({ publicIp, previous: ['10.5.2.0/24'] }));
    const subnets = await Promise.all(hosts.map((host) => host.subnet()));
    expect([...subnets].sort()).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
    expect(await cluster.store.living()).toHaveLength(2);
  });

  test('twenty of them fill a network of twenty', async () => {
    const cluster = await Cluster.create();
    const ranges = rangesOf({ Network: '10.5.0.0/16', SubnetMax: '10.5.20.0' });
    const hosts = Array.from({ length: 20 }, (_, index) =>
      cluster.host({ publicIp: `192.0.2.${index + 1}`, ranges, random: index % 2 ? first : last }),
    );
    const subnets = await Promise.all(hosts.map((host) => host.subnet()));
    expect(new Set(subnets).size).toBe(20);
    expect(await cluster.leases()).toHaveLength(20);
    expect(await cluster.store.living()).toHaveLength(20);
  });

  test('a race lost is run again, with the same etcd lease; the other host keeps what it has', async () => {
    const cluster = await Cluster.create();
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.lease('10.5.1.0-24');
    };
    const host = cluster.host();
    expect(await host.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
    expect(cluster.store.granted).toHaveLength(2);
    expect(host.log.loud).toEqual([]);
  });

  test.each([
    ['a changed value', `{"PublicIP":"${ME}","PublicIPv6":null,"BackendType":"vxlan"}`],
    ['a time to live of its own', value(ME)],
  ])('a take-over with %s does not overwrite who was faster', async (_what, content) => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.1.0-24', content, 3600);
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.lease('10.5.1.0-24');
    };
    expect(await cluster.host().subnet()).toBe('10.5.2.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
  });

  test('the same for a reservation', async () => {
    const cluster = await Cluster.create();
    await cluster.reserve('10.5.1.0-24', `{"PublicIP":"${ME}","BackendType":"vxlan"}`);
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.reserve('10.5.1.0-24');
    };
    expect(await cluster.host().subnet()).toBe('10.5.2.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
  });

  test('and for one that does not fit any more: it is not deleted when it has become another’s', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.9.0-24', value(ME));
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.lease('10.5.9.0-24');
    };
    expect(await cluster.host().subnet()).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`, `10.5.9.0-24 ${OTHER}`]);
  });

  test('lost every time: an error that may be tried again, and no etcd lease is left behind', async () => {
    const cluster = await Cluster.create();
    const ranges = rangesOf({ Network: '10.5.0.0/16' });
    let next = 1;
    cluster.store.beforeTransaction = async () => {
      await cluster.reserve(`10.5.${next++}.0-24`);
    };
    const host = cluster.host({ ranges });
    await expect(host.ensure()).rejects.toMatchObject({ code: 'conflict', retryable: true });
    expect(await cluster.store.living()).toEqual([]);
    cluster.store.beforeTransaction = undefined;
    expect(await host.subnet()).toBe(`10.5.${next}.0/24`);
  });
});

describe('the network config changes while a subnet is leased', () => {
  test('nothing is leased by the old one', async () => {
    const cluster = await Cluster.create();
    await cluster.put(CONFIG_KEY, '{"Network": "10.6.0.0/16"}');
    await expect(cluster.host().ensure()).rejects.toMatchObject({
      code: 'conflict',
      retryable: true,
    });
    expect(await cluster.leases()).toEqual([]);
    expect(await cluster.store.living()).toEqual([]);
  });

  test('that, and no race, is what the error speaks of', async () => {
    const cluster = await Cluster.create();
    await cluster.put(CONFIG_KEY, '{"Network": "10.6.0.0/16"}');
    await expect(cluster.host().ensure()).rejects.toThrow(/network config/);
  });

  test('between reading and writing', async () => {
    const cluster = await Cluster.create();
    cluster.store.beforeTransaction = async () => {
      cluster.store.beforeTransaction = undefined;
      await cluster.put(CONFIG_KEY, '{"Network": "10.6.0.0/16"}');
    };
    await expect(cluster.host().ensure()).rejects.toMatchObject({ code: 'conflict' });
    expect(await cluster.leases()).toEqual([]);
  });
});

describe('a write that is carried out, and whose answer is lost', () => {
  test('of a new lease: the next try finds it', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ random: last });
    cluster.store.loseNextAnswer();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
  });

  test('of a take-over: the host gets its subnet back', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.1.0-24', `{"PublicIP":"${ME}","BackendType":"vxlan"}`);
    const host = cluster.host({ random: last });
    cluster.store.loseNextAnswer();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
  });
});

test('a host whose lease vanished meanwhile does not bring back a key of another host', async () => {
  const cluster = await Cluster.create();
  const { key } = await cluster.host({ ttl: 60 }).ensure();
  const before = await cluster.entry(key);
  // The next daemon reads it, and it expires before it is renewed; another host takes the subnet in between.
  const host = cluster.host({ ttl: 60 });
  const { leaseInfo } = cluster.store;
  cluster.store.leaseInfo = async (id) => {
    cluster.store.leaseInfo = leaseInfo;
    cluster.pass(61);
    await cluster.lease('10.5.1.0-24');
    return cluster.store.leaseInfo(id);
  };
  expect(await host.subnet()).toBe('10.5.2.0/24');
  expect((await cluster.entry(before.key)).createRevision).not.toBe(before.createRevision);
  expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`, `10.5.2.0-24 ${ME}`]);
});
