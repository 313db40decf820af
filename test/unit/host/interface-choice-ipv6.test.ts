import { describe, expect, test } from 'vitest';
import type { InterfaceWishes } from '../../../src/host/interface-choice.ts';
import { explainInterface } from '../../../src/host/interfaces.ts';
import type { OuterAddress } from '../../../src/host/state.ts';
import type { Family } from '../../../src/net/ip.ts';
import { by, type Host, NO_WISHES, networkOf } from './described-host.ts';

describe('of a network with IPv6', () => {
  const DUAL: Host = {
    interfaces: [
      'eth0 - 192.0.2.5/24 fd00:1::5/64',
      'eth1 - 198.51.100.5/24',
      'eth2 - fd00:2::5/64',
      'docker0 bridge 172.17.0.1/16',
    ],
    defaults: [by('eth0')],
    defaults6: [by('eth2', 'fe80::1')],
    routes: {
      'fd00:2::1': { device: 'eth2', source: 'fd00:2::5' },
      'fd00:2::ffff': { device: 'eth2', source: 'fd00:2::5' },
    },
    names: { 'etcd.lab': ['198.51.100.1', 'fd00:2::ffff'] },
  };
  const explained = (families: readonly Family[], wishes: Partial<InterfaceWishes> = {}, host = DUAL) =>
    explainInterface({ ...NO_WISHES, ...wishes }, networkOf(host), families);
  const chosenBy = async (...args: Parameters<typeof explained>) => {
    const { chosen, problem } = await explained(...args);
    const publicOf = (one: OuterAddress | undefined) => one && `${one.address}>${one.publicIp}`;
    return chosen === undefined
      ? problem
      : [chosen.name, publicOf(chosen.v4), publicOf(chosen.v6)].filter(Boolean).join(' ');
  };

  test.each<[string, readonly Family[], Partial<InterfaceWishes>, string]>([
    ['IPv4: nothing of IPv6 is told', [4], {}, 'eth0 192.0.2.5>192.0.2.5'],
    ['both', [4, 6], {}, 'eth0 192.0.2.5>192.0.2.5 fd00:1::5>fd00:1::5'],
    [
      'both, and the addresses that others send to',
      [4, 6],
      { iface: ['eth0'], publicIp: '203.0.113.1', publicIpv6: '2001:db8::1' },
      'eth0 192.0.2.5>203.0.113.1 fd00:1::5>2001:db8::1',
    ],
    ['IPv6 only: the default route of IPv6', [6], {}, 'eth2 fd00:2::5>fd00:2::5'],
    ['a name', [6], { iface: ['eth1', 'eth0'] }, 'eth0 fd00:1::5>fd00:1::5'],
    ['an address', [6], { iface: ['fd00:1::5'] }, 'eth0 fd00:1::5>fd00:1::5'],
    ['an IPv4 address says which is meant', [6], { iface: ['192.0.2.5'] }, 'eth0 fd00:1::5>fd00:1::5'],
    ['a pattern of addresses', [6], { ifaceRegex: ['^fd00:1:'] }, 'eth0 fd00:1::5>fd00:1::5'],
    ['a way', [6], { ifaceCanReach: 'fd00:2::1' }, 'eth2 fd00:2::5>fd00:2::5'],
    ['the holder of the public address', [6], { publicIpv6: 'fd00:1::5' }, 'eth0 fd00:1::5>fd00:1::5'],
    ['--public-ip counts for nothing', [6], { publicIp: '192.0.2.5' }, 'eth2 fd00:2::5>fd00:2::5'],
    [
      'nobody knows yet: IPv4, and what else there is',
      [],
      {},
      'eth0 192.0.2.5>192.0.2.5 fd00:1::5>fd00:1::5',
    ],
  ])('%s', async (_what, families, wishes, expected) => {
    expect(await chosenBy(families, wishes)).toBe(expected);
  });

  test('nobody knows yet, and the host has no IPv4 at all', async () => {
    const host: Host = { interfaces: ['eth0 - 2001:db8::5/64'], defaults: [], defaults6: [by('eth0')] };
    expect(await chosenBy([], {}, host)).toBe('eth0 2001:db8::5>2001:db8::5');
    const containers = ['docker0 bridge 172.17.0.1/16', ...host.interfaces];
    expect(await chosenBy([], {}, { ...host, interfaces: containers })).toBe('eth0 2001:db8::5>2001:db8::5');
    // Where IPv4 is what hosts reach each other by, IPv6 decides nothing.
    const many = ['eth1 - 192.0.2.5/24', 'eth2 - 198.51.100.5/24', ...host.interfaces];
    expect(await chosenBy([], {}, { ...host, interfaces: many })).toMatch(/several others could be meant/);
  });

  test('an interface with both is preferred to one with the default route', async () => {
    const interfaces = ['eth0 - 192.0.2.5/24', 'eth1 - 198.51.100.5/24 fd00:1::5/64'];
    const { chosen } = await explained([4, 6], {}, { interfaces, defaults: [by('eth0')] });
    expect([chosen?.name, chosen?.why]).toEqual([
      'eth1',
      'the default route leaves by eth0, which has no global IPv6 address, and there is no other',
    ]);
  });

  test.each<[string, readonly Family[], readonly string[], Partial<InterfaceWishes>, RegExp]>([
    [
      'no IPv6 anywhere',
      [4, 6],
      ['eth0 - 192.0.2.5/24'],
      {},
      /has IPv4 and IPv6, and eth0 \(the default route leaves by it\) has no global IPv6 address: give it one \(ip address add/,
    ],
    [
      'none on the one that is named',
      [4, 6],
      ['eth0 - 192.0.2.5/24 fd00:1::5/64', 'eth1 - 198.51.100.5/24'],
      { iface: ['eth1'] },
      /eth1 \(--iface eth1 is there\) has no global IPv6 address/,
    ],
    [
      'no IPv4 there',
      [4, 6],
      ['eth0 - fd00:1::5/64'],
      { iface: ['eth0'] },
      /has no IPv4 address: give it one/,
    ],
    [
      'no such one',
      [4, 6],
      ['eth0 - 192.0.2.5/24'],
      { iface: ['eth9'] },
      /^no interface with both an IPv4 and a global/,
    ],
    [
      'IPv6 only, without IPv6',
      [6],
      ['eth0 - 192.0.2.5/24'],
      { iface: ['eth0'] },
      /^no interface with a global IPv6 address fits/,
    ],
    [
      'a NAT of this machine alone',
      [6],
      ['eth0 - fd17:625c:f037:2::7/64', 'eth1 - fd00:1::5/64', 'eth2 - fd00:2::5/64'],
      {},
      /eth0, a NAT of this virtual machine alone, .* several others/,
    ],
  ])('what is said: %s', async (_what, families, interfaces, wishes, says) => {
    const host: Host = { interfaces, defaults: [by('eth0')], defaults6: [by('eth0')] };
    expect(await chosenBy(families, wishes, host)).toMatch(says);
  });

  test('etcd tells, by its IPv6 address, too', async () => {
    const interfaces = ['eth1 - fd00:1::5/64', 'eth2 - fd00:2::5/64'];
    const host: Host = { ...DUAL, interfaces, defaults: [], defaults6: [] };
    const named = (url: string) => explained([6], { etcdEndpoints: [url] }, host);
    for (const url of ['https://[fd00:2::ffff]:2379', 'https://etcd.lab:2379']) {
      const { chosen } = await named(url);
      expect([chosen?.name, chosen?.why]).toEqual([
        'eth2',
        'there is no default route, and etcd (fd00:2::ffff) is reached by it',
      ]);
    }
  });

  test('who is on the link: every network of its addresses, in an order that does not change', async () => {
    const onLink = async (...addresses: string[]) => {
      const interfaces = [`eth0 - ${addresses.join(' ')}`];
      const { chosen } = await explained([4, 6], {}, { interfaces, defaults: [by('eth0')] });
      return chosen?.onLink.join(' ');
    };
    const expected = '192.0.2.0/24 fd00:1::/64 fd00:2::/64';
    expect(await onLink('192.0.2.5/24', 'fd00:2::5/64', 'fd00:1::5/64', 'fd00:1::6/64')).toBe(expected);
    expect(await onLink('fd00:1::6/64', '192.0.2.5/24', 'fd00:2::5/64')).toBe(expected);
  });

  test('a network that only a router tells of is on the link, too', async () => {
    const host = { ...DUAL, interfaces: ['eth0 - 192.0.2.5/24 fd00:1::5/128'], linkRoutes: ['fd00:1::/64'] };
    const { chosen } = await explained([4, 6], {}, host);
    expect(chosen?.onLink.join(' ')).toBe('192.0.2.0/24 fd00:1::/64 fd00:1::5/128');
  });
});
