import { describe, expect, test } from 'vitest';
import { type MasqueradeWish, masqueradeTable } from '../../../src/host/masquerade.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const STATE: MasqueradeWish = {
  network: Prefix.parse('10.5.0.0/16'),
  subnet: Prefix.parse('10.5.1.0/24'),
  exclude: [],
  masquerade: 'fully-random',
};
const POD = '10.5.1.7';
const FAR_POD = '10.5.2.7';
const OUTSIDE = '192.0.2.9';

/** Walks the rules as nftables would: the first whose matches all hold decides. */
function verdict(rules: readonly string[], packet: { saddr: string; daddr: string; mark?: number }): string {
  for (const rule of rules) {
    const [, matches = '', says = ''] = /^(.*?) ?(return|masquerade.*)$/.exec(rule) ?? [];
    const fits = [...matches.matchAll(/ip6? ([sd]addr) (!= )?(\{[^}]*\}|\S+)/g)].every(
      ([, field, not, sets = '']) => {
        const address = Ip.parse(packet[field as 'saddr' | 'daddr']);
        const among = (sets.match(/[0-9a-f.:/]+/g) ?? []).some((text) =>
          Prefix.parse(text).contains(address),
        );
        return among !== (not !== undefined);
      },
    );
    const [, mask, value] = /meta mark & (\S+) == (\S+)/.exec(matches) ?? [];
    const marked = mask === undefined || ((packet.mark ?? 0) & Number(mask)) === Number(value);
    if (fits && marked) return says;
  }
  return 'accept';
}

const rulesOf = (state: MasqueradeWish) =>
  masqueradeTable(state, 'corduroy')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => / (return|masquerade.*)$/.test(line));

describe('masquerading', () => {
  test.each<[string, string, string, number, string]>([
    ['a container to the outside', POD, OUTSIDE, 0, 'masquerade fully-random'],
    ['a container to one of this host', POD, '10.5.1.8', 0, 'return'],
    ['a container to one of another host', POD, FAR_POD, 0, 'return'],
    ['a container of another host to one of this', FAR_POD, POD, 0, 'return'],
    ['the outside to a container of this host', OUTSIDE, POD, 0, 'return'],
    ['this host to a container of another', OUTSIDE, FAR_POD, 0, 'masquerade fully-random'],
    ['a container to a multicast group', POD, '224.0.0.251', 0, 'accept'],
    ['between two other hosts', FAR_POD, '10.5.3.7', 0, 'accept'],
    ['what has nothing to do with the network', OUTSIDE, '198.51.100.1', 0, 'accept'],
    ['what is marked by Kubernetes', POD, OUTSIDE, 0x4000, 'return'],
    ['what is marked by it and others', POD, OUTSIDE, 0xffff, 'return'],
    ['what is marked by others', POD, OUTSIDE, 0x8000, 'masquerade fully-random'],
  ])('%s', (_what, saddr, daddr, mark, expected) => {
    expect(verdict(rulesOf(STATE), { saddr, daddr, mark })).toBe(expected);
  });

  test('without random ports', () => {
    const rules = rulesOf({ ...STATE, masquerade: 'on' });
    expect(verdict(rules, { saddr: POD, daddr: OUTSIDE })).toBe('masquerade');
    expect(rules.join()).not.toContain('random');
  });

  describe('destinations that are excluded', () => {
    const excluding = (...exclude: string[]) => rulesOf({ ...STATE, exclude: exclude.map(Prefix.parse) });

    test.each([
      ['one', '172.16.4.4', 'accept'],
      ['one in a larger one', '192.168.7.4', 'accept'],
      ['others', OUTSIDE, 'masquerade fully-random'],
      ['a container of another host', FAR_POD, 'return'],
    ])('%s: %s', (_what, daddr, expected) => {
      const rules = excluding('172.16.0.0/12', '192.168.7.0/24', '192.168.0.0/16');
      expect(verdict(rules, { saddr: POD, daddr })).toBe(expected);
    });

    test('what lies in another one is not named twice: nft refuses overlaps', () => {
      const sets = (...exclude: string[]) => / != \{ (.*?) \}/.exec(excluding(...exclude).join('\n'))?.[1];
      expect(sets('10.5.3.0/24', '192.168.7.0/24', '192.168.0.0/16', '192.168.0.0/16')).toBe(
        '10.5.0.0/16, 224.0.0.0/4, 192.168.0.0/16',
      );
      expect(sets('10.0.0.0/8')).toBe('224.0.0.0/4, 10.0.0.0/8');
    });

    test('everything', () => {
      expect(verdict(excluding('0.0.0.0/0'), { saddr: POD, daddr: OUTSIDE })).toBe('accept');
    });
  });

  describe('of IPv6', () => {
    const wish: MasqueradeWish = {
      network: Prefix.parse('fd00:5::/48'),
      subnet: Prefix.parse('fd00:5:0:1::/64'),
      exclude: [Prefix.parse('2001:db8:7::/48')],
      masquerade: 'on',
    };
    const pod = 'fd00:5:0:1::7';

    test.each<[string, string, string, string]>([
      ['a container to the outside', pod, '2001:db8::9', 'masquerade'],
      ['a container to one of another host', pod, 'fd00:5:0:2::7', 'return'],
      ['the outside to a container of this host', '2001:db8::9', pod, 'return'],
      ['this host to a container of another', 'fd00::1', 'fd00:5:0:2::7', 'masquerade'],
      ['a container to a multicast group', pod, 'ff02::fb', 'accept'],
      ['a container to what is excluded', pod, '2001:db8:7::1', 'accept'],
    ])('%s', (_what, saddr, daddr, expected) => {
      expect(verdict(rulesOf(wish), { saddr, daddr })).toBe(expected);
    });

    test('is a table of its own', () => {
      const text = masqueradeTable(wish, 'corduroy');
      expect(text).toMatch(/^add table ip6 corduroy\ndelete table ip6 corduroy\ntable ip6 corduroy \{\n/);
      expect(text).not.toMatch(/\bip (saddr|daddr)/);
    });
  });

  test('the table is replaced in one transaction, whether or not it is there', () => {
    const text = masqueradeTable(STATE, 'corduroy-lab');
    expect(text).toMatch(
      /^add table ip corduroy-lab\ndelete table ip corduroy-lab\ntable ip corduroy-lab \{\n/,
    );
    expect(text).toMatch(/type nat hook postrouting priority srcnat; policy accept;/);
  });
});
