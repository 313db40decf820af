import { describe, expect, test } from 'vitest';
import { decideLease, isOwn, sameSubnets } from '../../../src/lease/decide.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { Entry } from '../../../src/store/store.ts';
import { attributes, DUAL, entry, FOUR, PREFIX, value } from './fixtures.ts';

const ME = '192.0.2.1';
const mine = (name: string, leaseId: string | null = '7') => entry(name, value(ME), 1, leaseId);
const theirs = (name: string) => entry(name, value('192.0.2.2'));

/** The decision in words; chance takes the last of what it is offered. */
function decide(entries: readonly Entry[], previous: readonly string[] = [], ranges = FOUR): string {
  const table = new LeaseTable(PREFIX, entries);
  const situation = { table, ranges, attributes: attributes(ME), previous: previous.map(Prefix.parse) };
  const decision = decideLease(situation, (bound) => bound - 1);
  switch (decision.do) {
    case 'wait':
      return 'wait';
    case 'create':
      return `create ${decision.subnets.join(' ')}${decision.reused ? ' again' : ''}`;
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
    ['its own, with a family too many', [mine('10.5.2.0-24&fd00::-64')], [], 'discard 10.5.2.0/24 fd00::/64'],
    ['a reservation that does not fit stays', [mine('10.5.9.0-24', null)], [], 'create 10.5.4.0/24'],
    ['… and is not handed out', [mine('10.5.4.0-25', null)], [], 'create 10.5.3.0/24'],
    ['the subnet it had', [theirs('10.5.1.0-24')], ['10.5.2.0/24'], 'create 10.5.2.0/24 again'],
    ['… unless it is taken', [theirs('10.5.2.0-24')], ['10.5.2.0/24'], 'create 10.5.4.0/24'],
    ['… or overlapped', [theirs('10.5.2.128-25')], ['10.5.2.0/24'], 'create 10.5.4.0/24'],
    ['… or does not fit', [], ['10.5.2.0/25'], 'create 10.5.4.0/24'],
    ['… or is of two families', [], ['10.5.2.0/24', 'fd00:0:0:1::/64'], 'create 10.5.4.0/24'],
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
    expect(decide([mine('10.5.2.0-24')], [], DUAL)).toBe('discard 10.5.2.0/24');
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
