import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../src/lease/cluster.ts';
import { decideLease, type Situation, sameSubnets } from '../../../src/lease/decide.ts';
import { isOwn } from '../../../src/lease/lease-record.ts';
import { nodeKey } from '../../../src/lease/node-record.ts';
import { formatReservation, reservationKey } from '../../../src/lease/reservation.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { Entry } from '../../../src/store/store.ts';
import { nodeIdOf } from './cluster.ts';
import { attributes, DUAL, entry, FOUR, PREFIX, value } from './fixtures.ts';

const ME = '192.0.2.1';
const mine = (name: string, leaseId: string | null = '7') => entry(name, value(ME), 1, leaseId);
const theirs = (name: string) => entry(name, value('192.0.2.2'));

/** The decision in words; chance takes the last of what it is offered. */
function decide(
  entries: readonly Entry[],
  previous: readonly string[] = [],
  ranges = FOUR,
  inUse = false,
): string {
  const situation: Situation = {
    prefix: PREFIX,
    cluster: new Cluster(PREFIX, entries),
    ranges,
    attributes: attributes(ME),
    nodeId: nodeIdOf(ME),
    hostName: 'me',
    hardware: 'here',
    wroteRecord: false,
    session: undefined,
    silent: new Set(),
    previous: { subnets: previous.map(Prefix.parse), inUse },
  };
  const decision = decideLease(situation, (bound) => bound - 1);
  switch (decision.do) {
    case 'wait':
      return 'wait';
    case 'ask':
      return `ask ${decision.node.hostName}`;
    case 'create':
      return [
        `create ${decision.subnets.join(' ')}${decision.reused ? ' again' : ''}`,
        ...decision.instead.map(({ subnets }) => `instead of ${subnets.join(' ')}`),
      ].join(' ');
    default:
      return `${decision.do} ${decision.lease.subnets.join(' ')}`;
  }
}

describe("decideLease, in flannel's order", () => {
  test.each<[string, Entry[], string[], string]>([
    ['its own lease', [theirs('10.5.2.0-24'), mine('10.5.3.0-24')], ['10.5.1.0/24'], 'take-over 10.5.3.0/24'],
    [
      'of two, the one it used',
      [mine('10.5.1.0-24'), mine('10.5.3.0-24')],
      ['10.5.3.0/24'],
      'take-over 10.5.3.0/24',
    ],
    ['of two, the one that fits', [mine('10.5.9.0-24'), mine('10.5.3.0-24')], [], 'take-over 10.5.3.0/24'],
    ['its own reservation', [mine('10.5.3.0-24', null)], [], 'take-over 10.5.3.0/24'],
    ['its own, of another length', [mine('10.5.2.0-25')], [], 'discard 10.5.2.0/25'],
    ['its own, above SubnetMax', [mine('10.5.5.0-24')], [], 'discard 10.5.5.0/24'],
    ['its own, below SubnetMin', [mine('10.5.0.0-24')], [], 'discard 10.5.0.0/24'],
    [
      'its own, with a family too many: the half that fits',
      [mine('10.5.2.0-24&fd00::-64')],
      [],
      'create 10.5.2.0/24 again instead of 10.5.2.0/24 fd00::/64',
    ],
    ['a reservation that does not fit stays', [mine('10.5.9.0-24', null)], [], 'create 10.5.4.0/24'],
    ['… and is not handed out', [mine('10.5.4.0-25', null)], [], 'create 10.5.3.0/24'],
    ['the subnet it had', [theirs('10.5.1.0-24')], ['10.5.2.0/24'], 'create 10.5.2.0/24 again'],
    ['… unless it is taken', [theirs('10.5.2.0-24')], ['10.5.2.0/24'], 'create 10.5.4.0/24'],
    ['… or overlapped', [theirs('10.5.2.128-25')], ['10.5.2.0/24'], 'create 10.5.4.0/24'],
    ['… or does not fit', [], ['10.5.2.0/25'], 'create 10.5.4.0/24'],
    [
      '… half of it, if it is of two families',
      [],
      ['10.5.2.0/24', 'fd00:0:0:1::/64'],
      'create 10.5.2.0/24 again',
    ],
    ['any', [], [], 'create 10.5.4.0/24'],
    ['the only one left', [theirs('10.5.1.0-24'), theirs('10.5.2.0-23')], [], 'create 10.5.4.0/24'],
    ['none left', [theirs('10.5.1.0-24'), theirs('10.5.2.0-23'), theirs('10.5.4.128-25')], [], 'wait'],
    [
      'a malformed value does not free its subnet',
      [entry('10.5.4.0-24', '{')],
      ['10.5.4.0/24'],
      'create 10.5.3.0/24',
    ],
  ])('%s', (_what, entries, previous, expected) => {
    expect(decide(entries, previous)).toBe(expected);
  });

  test('two families: one of each, and both are needed', () => {
    expect(decide([], [], DUAL)).toBe('create 10.5.100.0/24 fd00:0:0:64::/64');
    expect(decide([], ['10.5.2.0/24', 'fd00:0:0:2::/64'], DUAL)).toBe(
      'create 10.5.2.0/24 fd00:0:0:2::/64 again',
    );
    expect(
      decide([theirs('10.9.0.0-24&fd00:0:0:2::-64')], ['10.5.2.0/24', 'fd00:0:0:2::/64'], DUAL),
    ).not.toContain('again');
    expect(decide([theirs('10.9.0.0-24&fd00::-48')], [], DUAL)).toBe('wait');
  });
});

test.each<[string, string, boolean]>([
  ['10.0.0.1', '10.0.0.1', true],
  ['10.0.0.1', '10.0.0.2', false],
  ['10.0.0.1 fd00::1', '10.0.0.1 fd00::2', true],
  ['10.0.0.1 fd00::1', '10.0.0.2 fd00::1', false],
  ['fd00::1', 'fd00::1', true],
  ['fd00::1', 'fd00::2', false],
  ['fd00::1', '10.0.0.1 fd00::1', false],
])('%s and %s are one host: %s', (one, other, expected) => {
  const parse = (text: string) => {
    const ips = text.split(' ').map(Ip.parse);
    return {
      publicIp: ips.find(({ family }) => family === 4),
      publicIpv6: ips.find(({ family }) => family === 6),
    };
  };
  expect([isOwn(parse(one), parse(other)), isOwn(parse(other), parse(one))]).toEqual([expected, expected]);
});

test('sameSubnets', () => {
  const [a, b] = ['10.5.1.0/24', 'fd00::/64'].map(Prefix.parse) as [Prefix, Prefix];
  expect([sameSubnets([a, b], [a, b]), sameSubnets([], [])]).toEqual([true, true]);
  expect([sameSubnets([a, b], [b, a]), sameSubnets([a], [a, b]), sameSubnets([a, b], [a])]).toEqual([
    false,
    false,
    false,
  ]);
});

describe('the order, where several would do', () => {
  const NODE = nodeIdOf(ME);
  const record = (lease: string, leaseId = '7'): Entry => ({
    ...entry(
      '',
      JSON.stringify({
        hostName: 'me',
        version: '',
        capabilities: [],
        lease,
        publicIP: ME,
        hardware: 'here',
      }),
      1,
      leaseId,
    ),
    key: nodeKey(PREFIX, NODE),
  });
  const reservedFor = (name: string, host: string): Entry[] => [
    entry(name, value('0.0.0.0'), 1, null),
    { ...entry('', formatReservation({ host }), 1, null), key: reservationKey(PREFIX, name) },
  ];
  // Lowest priority last: without the first one, the next one is what it would be.
  const BOUND = [entry('10.5.1.0-24', value('192.0.2.50'), 1, '7'), record('10.5.1.0-24')];
  const RESERVED = reservedFor('10.5.2.0-24', 'me');
  const FLANNELDS = [mine('10.5.3.0-24', '8')];

  test.each<[string, Entry[], string[], boolean, string]>([
    [
      'in use and free',
      [...BOUND, ...RESERVED, ...FLANNELDS],
      ['10.5.4.0/24'],
      true,
      'create 10.5.4.0/24 again instead of 10.5.1.0/24',
    ],
    ['in use and its own', [...BOUND, ...FLANNELDS], ['10.5.3.0/24'], true, 'take-over 10.5.3.0/24'],
    [
      "in use and another's",
      [...BOUND, ...RESERVED, ...FLANNELDS, theirs('10.5.4.0-24')],
      ['10.5.4.0/24'],
      true,
      'take-over 10.5.1.0/24',
    ],
    ['bound', [...BOUND, ...RESERVED, ...FLANNELDS], ['10.5.4.0/24'], false, 'take-over 10.5.1.0/24'],
    ['reserved', [...RESERVED, ...FLANNELDS], [], false, 'take-over 10.5.2.0/24'],
    ["a flanneld's with this address", FLANNELDS, ['10.5.4.0/24'], false, 'take-over 10.5.3.0/24'],
    ['of an earlier subnet.env', [], ['10.5.3.0/24'], false, 'create 10.5.3.0/24 again'],
    [
      'a record of another etcd lease binds nothing',
      [BOUND[0] as Entry, record('10.5.1.0-24', '9')],
      [],
      false,
      'create 10.5.4.0/24',
    ],
  ])('%s', (_what, entries, previous, inUse, expected) => {
    expect(decide(entries, previous, FOUR, inUse)).toBe(expected);
  });
});
