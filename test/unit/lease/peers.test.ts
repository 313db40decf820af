import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { type Self, selectPeers } from '../../../src/lease/peers.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { Entry } from '../../../src/store/store.ts';
import { DUAL, entry, FOUR, PREFIX, value } from './fixtures.ts';

const SELF = {
  key: `${PREFIX}/subnets/10.5.1.0-24`,
  subnets: [Prefix.parse('10.5.1.0/24')],
  publicIps: [Ip.parse('192.0.2.1'), Ip.parse('198.51.100.1')],
};

/** Peers by their subnets, and what was rejected, by key. */
function select(entries: readonly Entry[], ranges = FOUR) {
  const { peers, rejected } = selectPeers(new LeaseTable(PREFIX, entries), ranges, SELF);
  return {
    peers: peers.map(({ subnets, attributes }) => `${subnets.join(' ')} ${attributes.publicIp}`),
    rejected: Object.fromEntries(
      rejected.map(({ entry: { key }, reason }) => [key.split('/').at(-1), reason]),
    ),
  };
}

describe('selectPeers', () => {
  test('the other hosts, reservations and other backends among them; not this host', () => {
    const entries = [
      entry('10.5.1.0-24', value('192.0.2.1'), 1),
      entry('10.5.2.0-24', value('192.0.2.2'), 2),
      entry('10.5.3.0-24', value('192.0.2.3'), 3, null),
      entry('10.5.4.0-25', '{"PublicIP":"192.0.2.4","PublicIPv6":null,"BackendType":"vxlan"}', 4),
    ];
    expect(select(entries)).toEqual({
      peers: ['10.5.2.0/24 192.0.2.2', '10.5.3.0/24 192.0.2.3', '10.5.4.0/25 192.0.2.4'],
      rejected: {},
    });
  });

  test('outside SubnetMin and SubnetMax, yet inside the network: another host may have leased it before', () => {
    expect(select([entry('10.5.200.0-24', value('192.0.2.2'))]).peers).toEqual(['10.5.200.0/24 192.0.2.2']);
  });

  test('of a dual-stack lease in a network of one family, the half that is in use', () => {
    const dual = entry('10.5.2.0-24&fd00:0:0:2::-64', value('192.0.2.2'));
    expect(select([dual])).toEqual({ peers: ['10.5.2.0/24 192.0.2.2'], rejected: {} });
    const onlyV6 = DUAL.slice(1);
    expect(select([dual, entry('10.5.3.0-24', value('192.0.2.3'))], onlyV6)).toEqual({
      peers: ['fd00:0:0:2::/64 192.0.2.2'],
      rejected: { '10.5.3.0-24': 'the network has no subnets of this family' },
    });
  });

  test.each<[string, string, string, RegExp]>([
    ['outside the network', '10.6.1.0-24', '192.0.2.2', /^10\.6\.1\.0\/24 lies outside the network$/],
    ['larger than the network', '10.0.0.0-8', '192.0.2.2', /^10\.0\.0\.0\/8 lies outside the network$/],
    ['everything', '0.0.0.0-0', '192.0.2.2', /lies outside the network$/],
    [
      "part of this host's subnet",
      '10.5.1.128-25',
      '192.0.2.2',
      /^it overlaps 10\.5\.1\.0\/24, this host's own/,
    ],
    [
      "around this host's subnet",
      '10.5.0.0-23',
      '192.0.2.2',
      /^it overlaps 10\.5\.1\.0\/24, this host's own/,
    ],
    ['the whole network', '10.5.0.0-16', '192.0.2.2', /^it overlaps 10\.5\.1\.0\/24/],
    [
      "this host's address",
      '10.5.2.0-24',
      '192.0.2.1',
      /^its public address 192\.0\.2\.1 is this host's own$/,
    ],
    ["this host's other address", '10.5.2.0-24', '198.51.100.1', /198\.51\.100\.1 is this host's own$/],
    ['this network', '10.5.2.0-24', '0.0.0.1', /^its public address 0\.0\.0\.1 is none a host can have$/],
    ['loopback', '10.5.2.0-24', '127.0.0.1', /127\.0\.0\.1 is none a host can have$/],
    ['multicast', '10.5.2.0-24', '224.0.0.1', /224\.0\.0\.1 is none a host can have$/],
    ['reserved', '10.5.2.0-24', '240.0.0.1', /240\.0\.0\.1 is none a host can have$/],
    ['broadcast', '10.5.2.0-24', '255.255.255.255', /is none a host can have$/],
    [
      'inside the network',
      '10.5.2.0-24',
      '10.5.2.1',
      /^its public address 10\.5\.2\.1 lies inside the network$/,
    ],
  ])('rejected: %s', (_what, name, publicIp, reason) => {
    const { peers, rejected } = select([
      entry(name, value(publicIp)),
      entry('10.5.4.0-24', value('192.0.2.4')),
    ]);
    expect(peers).toEqual(['10.5.4.0/24 192.0.2.4']);
    expect(rejected).toEqual({ [name]: expect.stringMatching(reason) });
  });

  test.each<[string, RegExp]>([
    ['::', /none a host can have/],
    ['::1', /none a host can have/],
    ['ff02::1', /none a host can have/],
    ['fe80::2', /none a host can have/],
    ['::ffff:192.0.2.1', /none a host can have/],
    ['::192.0.2.1', /none a host can have/],
    ['fd00:0:0:2::1', /inside the network/],
  ])('rejected: the public IPv6 address %s', (publicIpv6, reason) => {
    const both = JSON.stringify({ PublicIP: '192.0.2.2', PublicIPv6: publicIpv6 });
    const { peers, rejected } = select([entry('10.5.2.0-24&fd00:0:0:2::-64', both)], DUAL);
    expect(peers).toEqual([]);
    expect(Object.values(rejected)).toEqual([expect.stringMatching(reason)]);
  });

  test('malformed ones are listed with the others', () => {
    expect(select([entry('rubbish', ''), entry('10.9.0.0-24', value('192.0.2.2'))]).rejected).toEqual({
      rubbish: expect.stringContaining('the key does not have the form'),
      '10.9.0.0-24': expect.stringContaining('outside'),
    });
  });

  describe('two leases of one subnet', () => {
    const dual = 'fd00:0:0:2::-64';
    const one = entry(`10.5.2.0-24&${dual}`, value('192.0.2.2'), 5);
    const rejected = (kept: string) => `10.5.2.0/24 is leased under ${kept} already, which is older`;

    test('the older one counts, whatever their order in the table', () => {
      const older = entry('10.5.2.0-24', value('192.0.2.3'), 4);
      for (const entries of [
        [one, older],
        [older, one],
      ]) {
        expect(select(entries, DUAL)).toEqual({
          peers: ['10.5.2.0/24 192.0.2.3'],
          rejected: { [`10.5.2.0-24&${dual}`]: rejected(older.key) },
        });
      }
    });

    test('it is the creation that counts, not the last write', () => {
      const rewritten = { ...entry('10.5.2.0-24', value('192.0.2.3'), 4), modRevision: 9n };
      expect(select([one, rewritten], DUAL).peers).toEqual(['10.5.2.0/24 192.0.2.3']);
    });

    test('made by one transaction: every host prefers the same one', () => {
      const twin = entry('10.5.2.0-24', value('192.0.2.3'), 5);
      expect(select([one, twin], DUAL)).toEqual(select([twin, one], DUAL));
    });

    test('a rejected lease does not stand in the way of a good one', () => {
      const bad = entry('10.5.2.0-24', value('127.0.0.1'), 1);
      expect(select([bad, one], DUAL).peers).toEqual(['10.5.2.0/24 fd00:0:0:2::/64 192.0.2.2']);
    });
  });
});

describe('selectPeers, again and again while leases change', () => {
  const SUBNETS = ['10.5.1.0', '10.5.2.0', '10.5.3.0', '10.6.1.0'];
  const V6 = ['', '&fd00:0:0:1::-64', '&fd00:0:0:2::-64'];
  const anyName = fc
    .tuple(fc.constantFrom(...SUBNETS), fc.constantFrom(...V6))
    .map(([subnet, v6]) => `${subnet}-24${v6}`);
  const anyAddress = fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.3', '127.0.0.1');
  const anyStep = fc.record({
    name: anyName,
    address: fc.option(anyAddress, { nil: undefined }),
    /** Of two keys that one transaction makes, the revision is the same. */
    sameRevision: fc.boolean(),
    moves: fc.boolean(),
    snapshot: fc.boolean(),
  });

  /** By the words of the documentation, and nothing else: in the order of age, what nobody before it names. */
  function plainly(entries: readonly Entry[], self: Self): string[] {
    const good = [...entries].sort(
      (one, other) => Number(one.createRevision - other.createRevision) || (one.key < other.key ? -1 : 1),
    );
    const taken = new Set<string>();
    return good.flatMap(({ key, value: text }) => {
      const subnets = (key.split('/').at(-1) ?? '').split('&');
      const { PublicIP: address } = JSON.parse(text);
      const isGood =
        key !== self.key &&
        !subnets.some((subnet) => subnet.startsWith('10.6.')) &&
        !self.subnets.some((own) => subnets.includes(`${own.address}-24`)) &&
        address !== '127.0.0.1' &&
        !self.publicIps.some((own) => own.toString() === address) &&
        !subnets.some((subnet) => taken.has(subnet));
      if (!isGood) return [];
      for (const subnet of subnets) taken.add(subnet);
      return [key];
    });
  }

  test('says the same as a look at everything for the first time', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 30 }), (steps) => {
        const table = new LeaseTable(PREFIX);
        const entries = new Map<string, Entry>();
        let self: Self = SELF;
        let revision = 1;
        for (const { name, address, sameRevision, moves, snapshot } of steps) {
          if (!sameRevision) revision++;
          const written = entry(name, value(address ?? '192.0.2.2'), revision);
          const before = entries.get(written.key);
          if (address === undefined) {
            entries.delete(written.key);
            table.apply([{ kind: 'delete', key: written.key, modRevision: BigInt(revision) }]);
          } else {
            const put = { ...written, createRevision: before?.createRevision ?? written.createRevision };
            entries.set(put.key, put);
            table.apply([{ kind: 'put', entry: put }]);
          }
          if (moves) self = { ...self, publicIps: [Ip.parse(`192.0.2.${(revision % 3) + 1}`)] };
          if (snapshot)
            table.replace([...entries.values()].sort((one, other) => (one.key < other.key ? -1 : 1)));
          const { peers, rejected } = selectPeers(table, DUAL, self);
          expect(peers.map(({ entry: { key } }) => key)).toEqual(plainly([...entries.values()], self));
          const fresh = selectPeers(new LeaseTable(PREFIX, [...entries.values()]), DUAL, self);
          expect(peers).toEqual(fresh.peers);
          expect(rejected).toEqual(fresh.rejected);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('another network is another verdict on the same leases', () => {
    const table = new LeaseTable(PREFIX, [entry('10.5.2.0-24&fd00:0:0:2::-64', value('192.0.2.2'))]);
    const subnets = (ranges: typeof DUAL) =>
      selectPeers(table, ranges, SELF).peers.map((peer) => peer.subnets.join(' '));
    expect([subnets(DUAL), subnets(FOUR), subnets(DUAL)]).toEqual([
      ['10.5.2.0/24 fd00:0:0:2::/64'],
      ['10.5.2.0/24'],
      ['10.5.2.0/24 fd00:0:0:2::/64'],
    ]);
  });
});
