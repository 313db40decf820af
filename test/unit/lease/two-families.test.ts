import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { readListing } from '../../../src/cli/leases/list.ts';
import type { SubnetRange } from '../../../src/config/network-config.ts';
import { Cluster as ClusterState } from '../../../src/lease/cluster.ts';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { selectPeers } from '../../../src/lease/peers.ts';
import { reservationKey } from '../../../src/lease/reservation.ts';
import { Administered, by } from './administered.ts';
import { Cluster, FOLDER, first, type Host, ME, nodeIdOf, OTHER } from './cluster.ts';
import { attributes, CONFIG_KEY, DUAL, PREFIX, rangesOf } from './fixtures.ts';

const V4 = rangesOf({ Network: '10.5.0.0/16' });
const V6 = rangesOf({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/48' });
const ELSEWHERE = rangesOf({ Network: '10.6.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/48' });
const V6_ONLY_FOLDER = `${PREFIX}/corduroy/subnets/`;

/** Every lease's key without the folder. */
async function names(cluster: Cluster): Promise<string[]> {
  const { entries } = await cluster.store.list(`${PREFIX}/`);
  return entries
    .map(({ key }) => key)
    .filter((key) => key.startsWith(FOLDER) || key.startsWith(V6_ONLY_FOLDER))
    .map((key) => key.slice(PREFIX.length + 1));
}

/** The network config is written again, with these ranges, and a host goes by it. */
async function change(cluster: Cluster, host: Host, ranges: readonly SubnetRange[]): Promise<void> {
  cluster.configRevision = (await cluster.put(CONFIG_KEY, JSON.stringify(ranges))).modRevision;
  host.become({ ranges });
}

describe('the families of the network change: what still fits is kept, and the old key goes as the new one comes', () => {
  test.each<[string, readonly SubnetRange[], readonly SubnetRange[], string, string]>([
    ['IPv4 to both', V4, DUAL, 'subnets/10.5.1.0-24', 'subnets/10.5.1.0-24&fd00:0:0:1::-64'],
    ['both to IPv4', DUAL, V4, 'subnets/10.5.1.0-24&fd00:0:0:1::-64', 'subnets/10.5.1.0-24'],
    ['both to IPv6', DUAL, V6, 'subnets/10.5.1.0-24&fd00:0:0:1::-64', 'corduroy/subnets/fd00:0:0:1::-64'],
    ['IPv6 to both', V6, DUAL, 'corduroy/subnets/fd00:0:0:1::-64', 'subnets/10.5.1.0-24&fd00:0:0:1::-64'],
    [
      'the IPv4 network is another',
      DUAL,
      ELSEWHERE,
      'subnets/10.5.1.0-24&fd00:0:0:1::-64',
      'subnets/10.6.1.0-24&fd00:0:0:1::-64',
    ],
  ])('%s', async (_what, before, after, old, next) => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ranges: before });
    await host.ensure();
    expect(await names(cluster)).toEqual([old]);
    const seen: string[][] = [];
    cluster.store.afterTransaction = async () => {
      seen.push(await names(cluster));
    };
    await change(cluster, host, after);
    const transaction = vi.spyOn(cluster.store, 'transaction');
    await host.ensure();
    // flannel handles them one by one: a subnet that both keys name must not be gone at the end.
    const operations = transaction.mock.calls
      .flatMap(([, all]) => all)
      .filter(({ key }) => /-(24|64)$/.test(key));
    expect(operations.map((one) => `${one.do} ${one.key.slice(PREFIX.length + 1)}`)).toEqual([
      `delete ${old}`,
      `put ${next}`,
    ]);
    // Never both, and never none.
    expect(new Set(seen.flatMap((all) => all.join(' ')))).toEqual(new Set([old, next]));
    expect(JSON.parse((await cluster.record(host)).value).lease).toBe(next.slice(next.lastIndexOf('/') + 1));
    const isKept = host.keeper.subnets.some((subnet) => old.includes(`${subnet}`.replace('/', '-')));
    expect(isKept).toBe(true);
  });

  test('a family more takes nothing away, and nobody is told to restart anything; another network does', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ranges: V4 });
    await host.ensure();
    await change(cluster, host, DUAL);
    await host.ensure();
    expect([host.keeper.moved, host.log.loud]).toEqual([undefined, []]);
    await change(cluster, host, ELSEWHERE);
    await host.ensure();
    expect(host.keeper.moved).toMatch(/has changed from 10\.5\.1\.0\/24, .*, to 10\.6\.1\.0\/24: restart/);
  });

  test('also by a daemon that starts then, and knows only what its record names', async () => {
    const cluster = await Cluster.create();
    const before = cluster.host({ ranges: V4, random: (bound) => bound - 1 });
    expect(await before.subnet()).toBe('10.5.100.0/24');
    cluster.stop(before);
    const after = cluster.host({ ranges: DUAL });
    expect(await after.subnet()).toBe('10.5.100.0/24 fd00:0:0:64::/64');
    expect(await names(cluster)).toEqual(['subnets/10.5.100.0-24&fd00:0:0:64::-64']);
  });

  test("and a flanneld's lease on this host", async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.7.0-24', formatLeaseValue(attributes(ME)));
    expect(await cluster.host({ ranges: DUAL }).subnet()).toBe('10.5.7.0/24 fd00:0:0:7::/64');
    expect(await names(cluster)).toEqual(['subnets/10.5.7.0-24&fd00:0:0:7::-64']);
  });

  test('what is reserved for a host stays reserved for it, as far as the network goes', async () => {
    const cluster = await Cluster.create();
    await cluster.reserve('10.5.9.0-24', formatLeaseValue(attributes('0.0.0.0')));
    await cluster.put(reservationKey(PREFIX, '10.5.9.0-24'), '{"host":"me"}');
    const host = cluster.host({ ranges: V4, hostName: 'me' });
    expect(await host.subnet()).toBe('10.5.9.0/24');
    await change(cluster, host, DUAL);
    expect(await host.subnet()).toBe('10.5.9.0/24 fd00:0:0:9::/64');
    const name = '10.5.9.0-24&fd00:0:0:9::-64';
    expect(await names(cluster)).toEqual([`subnets/${name}`]);
    expect((await cluster.entry(FOLDER + name)).leaseId).toBeUndefined();
    const { entries } = await cluster.store.list(`${PREFIX}/corduroy/reservations/`);
    expect(entries.map(({ key, value }) => [key, value])).toEqual([
      [reservationKey(PREFIX, name), '{"host":"me"}'],
    ]);
  });

  test('no IPv6 subnet is left: the host goes on with what it has', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ranges: V4 });
    await host.ensure();
    await cluster.put(`${V6_ONLY_FOLDER}fd00::-48`, formatLeaseValue(attributes(OTHER)));
    await change(cluster, host, DUAL);
    await expect(host.ensure()).rejects.toThrow(
      /out of subnets: all 255 subnets of 10\.5\.0\.0\/16 .*, or all 65535 subnets of fd00::\/48 from/,
    );
    expect(host.keeper.subnets.join()).toBe('10.5.1.0/24');
    expect(await names(cluster)).toContain('subnets/10.5.1.0-24');
  });
});

describe('a half that two keys name', () => {
  const value = (ip: string) => formatLeaseValue(attributes(ip));

  test('the host of the younger one takes another in its place, keeps its own half, and says so', async () => {
    const cluster = await Cluster.create();
    // Another's, as flanneld would make it: it picks the halves one by one.
    await cluster.lease('10.5.200.0-24&fd00:0:0:2::-64', value(OTHER));
    const host = cluster.host({ ranges: DUAL, previous: ['10.5.9.0/24'], inUse: true });
    // What creation does not see: it was not there when the host looked.
    const { entries } = await cluster.store.list(`${PREFIX}/`);
    const stale = new ClusterState(
      PREFIX,
      entries.filter(({ key }) => !key.includes('&')),
    );
    host.become({ previous: [] });
    cluster.store.beforeTransaction = undefined;
    await host.ensure(stale);
    expect(host.keeper.subnets.join(' ')).toBe('10.5.9.0/24 fd00:0:0:9::/64');

    // Now one that collides: written before by a flanneld, seen only afterwards.
    const late = cluster.host({
      publicIp: '192.0.2.3',
      ranges: DUAL,
      previous: ['10.5.2.0/24'],
      inUse: true,
    });
    await late.ensure(stale);
    expect(late.keeper.subnets.join(' ')).toBe('10.5.2.0/24 fd00:0:0:2::/64');
    await late.observe();
    expect(late.keeper.state.name).toBe('conflicted');
    await late.ensure();
    const [v4, v6] = late.keeper.subnets.map(String);
    expect(v4).toBe('10.5.2.0/24');
    expect(v6).not.toBe('fd00:0:0:2::/64');
    expect(late.keeper.moved).toContain('from fd00:0:0:2::/64');
    await late.observe();
    expect(late.keeper.state.name).toBe('held');
    expect(await names(cluster)).toHaveLength(3);
  });

  test('the host of the older one stays', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ranges: DUAL });
    await host.ensure();
    await cluster.lease('10.5.200.0-24&fd00:0:0:1::-64', value(OTHER));
    await host.observe();
    await host.ensure();
    expect([host.keeper.state.name, host.keeper.subnets.join(' '), host.log.loud]).toEqual([
      'held',
      '10.5.1.0/24 fd00:0:0:1::/64',
      [],
    ]);
  });
});

/** Of the same size; more IPv6 subnets than IPv4 ones; fewer, so that places differ; places that are shifted. */
const NETWORKS = [
  { Network: '10.5.0.0/16', SubnetMax: '10.5.12.0', IPv6Network: 'fd00::/48', IPv6SubnetMax: 'fd00:0:0:c::' },
  { Network: '10.5.0.0/16', SubnetMax: '10.5.12.0', IPv6Network: 'fd00::/48' },
  { Network: '10.5.0.0/16', IPv6Network: 'fd00::/48', IPv6SubnetMax: 'fd00:0:0:c::' },
].map((network) => rangesOf({ ...network, EnableIPv6: true }));

test('many hosts at once, some with a half already: at the end no half is leased twice, and each has both', {
  timeout: 60_000,
}, async () => {
  let collisions = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...NETWORKS),
      fc.array(
        fc.option(fc.record({ family: fc.constantFrom(4, 6), place: fc.integer({ min: 1, max: 12 }) })),
        {
          minLength: 2,
          maxLength: 6,
        },
      ),
      // Somebody's whose halves were picked one by one, each in the other's place of who comes next.
      fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 5 }),
      fc.infiniteStream(fc.nat(1_000_000)),
      async (ranges, starts, others, chance) => {
        const cluster = await Cluster.create();
        const random = (bound: number) => (chance.next().value ?? 0) % bound;
        for (const [index, place] of others.entries())
          await cluster.lease(`10.5.${place}.0-24&fd00:0:0:${(12 - index).toString(16)}::-64`);
        const hosts = starts.map((start, index) => {
          const subnet =
            start?.family === 4 ? `10.5.${start.place}.0/24` : `fd00:0:0:${start?.place.toString(16)}::/64`;
          const isFirst =
            starts.findIndex((other) => JSON.stringify(other) === JSON.stringify(start)) === index;
          return cluster.host({
            publicIp: `192.0.2.${index + 101}`,
            ranges,
            random,
            ...(start !== null && isFirst && { previous: [subnet], inUse: true }),
          });
        });
        // All look before the first one writes.
        const seen = await cluster.state();
        await Promise.all(hosts.map((host) => host.ensure(seen)));
        for (let round = 0; round < 4; round++) {
          for (const host of hosts) {
            await host.observe();
            if (host.keeper.state.name === 'conflicted') collisions++;
            await host.ensure();
          }
        }
        const halves = hosts.flatMap(({ keeper }) => keeper.subnets.map(String));
        expect(halves).toHaveLength(2 * hosts.length);
        expect(new Set(halves).size).toBe(halves.length);
        expect(await names(cluster)).toHaveLength(hosts.length + others.length);
        for (const { keeper } of hosts) expect(keeper.state.name).toBe('held');
      },
    ),
    { numRuns: 60 },
  );
  // Else the test would say nothing about how they are mended.
  expect(collisions).toBeGreaterThan(0);
});

describe('IPv6 alone', () => {
  const only = (publicIpv6: string) => ({
    publicIp: undefined,
    publicIpv6: attributes('0.0.0.0', publicIpv6).publicIpv6,
  });
  const six = (host: number, more = {}) => ({
    ranges: V6,
    attributes: only(`2001:db8::${host}`),
    nodeId: nodeIdOf(`six ${host}`),
    hostName: `six-${host}`,
    random: first,
    ...more,
  });

  test('the lease lies where flannel does not look, in its form otherwise; the record names the address', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host(six(1));
    await host.ensure();
    expect(await names(cluster)).toEqual(['corduroy/subnets/fd00:0:0:1::-64']);
    const { value, leaseId } = await cluster.entry(`${V6_ONLY_FOLDER}fd00:0:0:1::-64`);
    expect(value).toBe('{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1"}');
    const record = await cluster.record(host);
    expect([record.leaseId, JSON.parse(record.value)]).toEqual([
      leaseId,
      expect.objectContaining({ lease: 'fd00:0:0:1::-64', publicIP: null, publicIPv6: '2001:db8::1' }),
    ]);
    expect(await cluster.host(six(2)).subnet()).toBe('fd00:0:0:2::/64');
  });

  test('a restart writes nothing; one that finds its address at another machine asks and says so', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host(six(1));
    await host.ensure();
    const { revision } = await cluster.store.list(PREFIX);
    await cluster.host(six(1)).ensure();
    expect((await cluster.store.list(PREFIX)).revision).toBe(revision);
    await expect(cluster.host({ ...six(2), attributes: only('2001:db8::1') }).ensure()).rejects.toThrow(
      /the public address 2001:db8::1 of this host is published by another one that lives, six-1 \(2001:db8::1\)/,
    );
  });

  test('the same hardware and address under a new machine-id is this machine', async () => {
    const cluster = await Cluster.create();
    const before = cluster.host(six(1, { hardware: 'one' }));
    await before.ensure();
    cluster.stop(before);
    const after = cluster.host(six(1, { hardware: 'one', nodeId: nodeIdOf('new') }));
    expect(await after.subnet()).toBe('fd00:0:0:1::/64');
  });

  test('is reserved by host or IPv6 address, listed, and released again', async () => {
    const net = await Administered.create({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/48' });
    const { says } = await net.reserve('fd00:0:0:9::/64', by('2001:db8::1'));
    expect(says).toBe('reserved fd00:0:0:9::/64 for 2001:db8::1');
    await expect(net.reserve('fd00:0:0:a::/64', by('192.0.2.1'))).rejects.toThrow(
      '--public-ip 192.0.2.1 is not what hosts of this network are known by, an address of IPv6: it is the address other hosts ' +
        'send to, such as 2001:db8::7',
    );
    net.cluster.configRevision = (await net.cluster.entry(CONFIG_KEY)).modRevision;
    const host = await net.running(six(1));
    expect(host.keeper.subnets.join()).toBe('fd00:0:0:9::/64');
    const { leases } = await readListing(net.cluster.store, PREFIX);
    expect(leases).toEqual([
      expect.objectContaining({
        subnets: ['fd00:0:0:9::/64'],
        publicIp: '2001:db8::1',
        reservedFor: '2001:db8::1',
        host: expect.objectContaining({ name: 'six-1' }),
      }),
    ]);
    expect((await net.release('fd00:0:0:9::/64')).action).toBe('released');
    expect((await net.cluster.entry(`${V6_ONLY_FOLDER}fd00:0:0:9::-64`)).leaseId).toBeDefined();
    net.cluster.stop(host);
    expect((await net.revoke('fd00:0:0:9::/64')).action).toBe('revoked');
  });

  test('another spelling of a subnet is no other subnet: it is nobody’s peer, and not leased again', async () => {
    const cluster = await Cluster.create();
    await cluster.put(`${V6_ONLY_FOLDER}FD00:0:0:01::-64`, formatLeaseValue(only('2001:db8::9')));
    const state = await cluster.state();
    const { peers, rejected } = selectPeers(state.leases, V6, { key: '', subnets: [], publicIps: [] });
    expect([peers, rejected.map(({ reason }) => reason)]).toEqual([
      [],
      ['the key of this subnet is spelt fd00:0:0:1::-64'],
    ]);
    expect(await cluster.host(six(1)).subnet()).toBe('fd00:0:0:2::/64');
  });
});
