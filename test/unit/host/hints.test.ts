import { describe, expect, test } from 'vitest';
import { IpHints, nftHint, type Surroundings, type Watched } from '../../../src/host/hints.ts';
import type { Port } from '../../../src/host/state.ts';

const WATCHED: Watched = {
  bridge: 'cbr0',
  protocol: 67,
  table: 'corduroy',
  chain: 'CORDUROY-FORWARD',
};
const SURROUNDINGS: Surroundings = {
  external: () => 'eth0',
  devices: () => new Set(['corduroy0', 'corduroy.1']),
  destinations: () => new Set(['10.244.0.0/16']),
};
const ipHints = (surroundings: Partial<Surroundings> = {}) =>
  new IpHints(WATCHED, { ...SURROUNDINGS, ...surroundings });

/** As iproute2 6.1 prints them. */
const TUN =
  '[LINK]2: corduroy0: <NO-CARRIER,POINTOPOINT,MULTICAST,NOARP,UP> mtu 1400 qdisc pfifo_fast state DOWN group default \\    link/none ';
const bridge = (flags: string, mac: string, rest = '', mtu = 1400) =>
  `[LINK]3: cbr0: <${flags}> mtu ${mtu} qdisc noqueue state UNKNOWN group default ${rest}\\    link/ether ${mac} brd ff:ff:ff:ff:ff:ff`;
const card = (flags: string, mtu = 1500) =>
  `[LINK]4: eth0@if2: <${flags}> mtu ${mtu} qdisc mq state UP group default \\    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff`;

describe('what ip monitor says', () => {
  test.each([
    ['the tunnel device', TUN, 'host'],
    ['another of the devices', TUN.replace('corduroy0', 'corduroy.1'), 'host'],
    ['the tunnel device is gone', TUN.replace('[LINK]', '[LINK]Deleted '), 'host'],
    [
      'an address of the tunnel device',
      '[ADDR]Deleted 2: corduroy0    inet 10.244.1.0/32 scope global corduroy0\\       valid_lft forever preferred_lft forever',
      'host',
    ],
    [
      'an address of another of the devices',
      '[ADDR]3: corduroy.1    inet6 fd00:5::/128 scope global \\       valid_lft forever preferred_lft forever',
      'host',
    ],
    [
      'an address of the bridge',
      '[ADDR]3: cbr0    inet 10.244.1.1/24 scope global cbr0\\       valid_lft forever preferred_lft forever',
      'host',
    ],
    ["a VXLAN's neighbour", '[NEIGH]10.5.2.0 dev corduroy.1 lladdr 02:22:22:22:22:24 PERMANENT ', 'host'],
    ["a VXLAN's neighbour that is deleted", '[NEIGH]Deleted 10.5.2.0 dev corduroy.1 FAILED ', 'host'],
    [
      "a VXLAN's FDB entry",
      '[NEIGH]Deleted 192.0.2.2 dev corduroy.1 lladdr 02:22:22:22:22:22 NOARP PERMANENT ',
      'host',
    ],
    ['a route', '[ROUTE]Deleted 10.244.0.0/16 dev corduroy0 proto 67 scope link linkdown ', 'host'],
    ['a blackhole', '[ROUTE]Deleted blackhole 10.244.1.0/24 proto 67 metric 4278198272 ', 'host'],
    ["a foreign route in one's place", '[ROUTE]10.244.0.0/16 via 192.0.2.9 dev eth0 ', 'host'],
    ['the default route', '[ROUTE]Deleted default via 192.0.2.254 dev eth0 ', 'interface'],
    [
      'a default route of several ways',
      '[ROUTE]default proto static \\\tnexthop via 192.0.2.254 dev eth0 weight 1 ',
      'interface',
    ],
    [
      'an address of the host',
      '[ADDR]4: eth0    inet 192.0.2.1/24 brd 192.0.2.255 scope global dynamic eth0\\       valid_lft 3600sec preferred_lft 3600sec',
      'interface',
    ],
    [
      'an IPv6 address of the host',
      '[ADDR]Deleted 4: eth0    inet6 2001:db8::1/64 scope global \\       valid_lft forever preferred_lft forever',
      'interface',
    ],
    [
      'an address of an interface that is not used yet',
      '[ADDR]9: wg0    inet 10.9.0.1/24 scope global wg0\\       valid_lft forever preferred_lft forever',
      'interface',
    ],
  ])('%s', (_what, line, hint) => {
    expect(ipHints().read(line)).toBe(hint);
  });

  test.each([
    ["a container's veth", '[LINK]5: v1@v2: <BROADCAST,MULTICAST,M-DOWN> mtu 1500 qdisc noop state DOWN '],
    [
      'a port of the bridge',
      '[LINK]5: v1@NONE: <BROADCAST> mtu 1500 master cbr0 state DOWN \\    link/ether',
    ],
    ['a link whose name begins alike', TUN.replace('corduroy0', 'corduroy01')],
    ['its link-local address', '[ADDR]5: v1    inet6 fe80::5c9f:b4ff:fe72:d629/64 scope link \\       valid'],
    ['its link-local route', '[ROUTE]fe80::/64 dev v1 proto kernel metric 256 pref medium'],
    [
      'a local route',
      '[ROUTE]local 10.244.1.0 dev corduroy0 table local proto kernel scope host src 10.244.1.0 ',
    ],
    ['a multicast route', '[ROUTE]multicast ff00::/8 dev v2 table local proto kernel metric 256 pref medium'],
    ['a route of others', '[ROUTE]198.51.100.0/24 via 192.0.2.9 dev eth0 proto bird metric 32 '],
    ['a default route of another table', '[ROUTE]default dev wg0 table 51820 scope link '],
    ["a container's neighbour", '[NEIGH]192.0.2.9 dev eth0 lladdr 52:54:00:00:00:01 REACHABLE'],
    ["a container's neighbour that has gone", '[NEIGH]192.0.2.9 dev cbr0 FAILED'],
    ['what a VXLAN has learned', '[NEIGH]192.0.2.9 dev corduroy.1 lladdr 52:54:00:00:00:01 NOARP REACHABLE'],
    ['what a TUN forgets', '[NEIGH]Deleted 10.244.2.2 dev corduroy0 lladdr 08 NOARP'],
    ['nothing that is known', '[NEXTHOP]id 7 via 192.0.2.9 dev eth0'],
    ['nothing', ''],
  ])('%s is nothing to us', (_what, line) => {
    expect(ipHints().read(line)).toBeUndefined();
  });

  test('containers that come and go change nothing of the bridge that matters', () => {
    const hints = ipHints();
    expect(hints.read(bridge('BROADCAST,MULTICAST,UP,LOWER_UP', '7e:02:6c:b3:eb:01'))).toBe('host');
    for (const line of [
      bridge('BROADCAST,MULTICAST,UP,LOWER_UP', '7e:02:6c:b3:eb:01', 'event FEATURE CHANGE '),
      bridge('BROADCAST,MULTICAST,UP', '5e:9f:b4:72:d6:29'),
      bridge('NO-CARRIER,BROADCAST,MULTICAST,UP', '00:00:00:00:00:00'),
    ])
      expect(hints.read(line)).toBeUndefined();
    expect(hints.read(bridge('BROADCAST,MULTICAST', '00:00:00:00:00:00'))).toBe('host');
    expect(hints.read(bridge('BROADCAST,MULTICAST,UP', '00:00:00:00:00:00'))).toBe('host');
    expect(hints.read(bridge('BROADCAST,MULTICAST,UP', '00:00:00:00:00:00', '', 1500))).toBe('host');
    const gone = bridge('BROADCAST,MULTICAST', '00:00:00:00:00:00').replace('[LINK]', '[LINK]Deleted ');
    expect(hints.read(gone)).toBe('host');
  });

  test('the external interface: carrier and MTU, and nothing else', () => {
    const hints = ipHints();
    expect(hints.read(card('BROADCAST,MULTICAST,UP,LOWER_UP'))).toBe('interface');
    expect(hints.read(card('BROADCAST,MULTICAST,PROMISC,UP,LOWER_UP'))).toBeUndefined();
    expect(hints.read(card('NO-CARRIER,BROADCAST,MULTICAST,UP'))).toBe('interface');
    expect(hints.read(card('BROADCAST,MULTICAST,UP,LOWER_UP'))).toBe('interface');
    expect(hints.read(card('BROADCAST,MULTICAST,UP,LOWER_UP', 9000))).toBe('interface');
  });

  test('ports of the bridge are told of, those of other bridges are not', () => {
    const ports: Port[] = [];
    const hints = ipHints({ onPort: (port) => ports.push(port) });
    for (const line of [
      '[LINK]5: v1@NONE: <BROADCAST> mtu 1500 master cbr0 state DOWN \\    link/ether',
      '[LINK]6: v2@if5: <BROADCAST> mtu 1500 master cbr01 state DOWN \\    link/ether',
      '[LINK]Deleted 7: v3@NONE: <BROADCAST> mtu 1500 master cbr0 state DOWN \\    link/ether',
      '[LINK]8: v4@if9: <BROADCAST,UP> mtu 1500 qdisc noqueue state UP \\    link/ether',
    ])
      expect(hints.read(line)).toBeUndefined();
    expect(ports).toEqual([{ index: 5, name: 'v1' }]);
  });

  test('which one is external is asked each time', () => {
    let external: string | undefined;
    const hints = ipHints({ external: () => external });
    expect(hints.read(card('BROADCAST,MULTICAST,UP,LOWER_UP'))).toBeUndefined();
    external = 'eth0';
    expect(hints.read(card('BROADCAST,MULTICAST,UP,LOWER_UP'))).toBe('interface');
  });
});

describe('what nft monitor says', () => {
  test.each([
    'delete table ip corduroy',
    'delete table ip6 corduroy',
    'delete rule ip6 filter CORDUROY-FORWARD handle 2',
    'delete rule ip corduroy postrouting handle 2',
    'insert rule ip corduroy postrouting ip saddr 10.0.0.0/8 drop',
    'delete rule ip filter FORWARD handle 4',
    'delete chain ip filter FORWARD',
    'delete rule ip filter CORDUROY-FORWARD handle 2',
    'insert rule ip filter CORDUROY-FORWARD counter packets 0 bytes 0 drop',
    'delete table ip filter',
    'add rule ip filter FORWARD counter packets 0 bytes 0 drop',
    'insert rule ip filter FORWARD oifname "docker0" counter packets 0 bytes 0 jump DOCKER',
    'add chain ip filter DOCKER-USER',
    'add rule ip filter DOCKER-USER counter packets 0 bytes 0 return',
    'delete chain ip filter DOCKER-USER',
    '# ERROR: We lost some netlink events!',
  ])('%s', (line) => {
    expect(nftHint(line, WATCHED)).toBe('firewall');
  });

  test.each([
    'add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }',
    'add rule ip filter DOCKER ip daddr 172.17.0.2 oifname "docker0" tcp dport 80 accept',
    'delete rule ip filter DOCKER handle 12',
    'delete rule ip nat POSTROUTING handle 9',
    'delete table ip corduroy-b',
    'delete rule ip filter CORDUROY-B-FORWARD handle 2',
    'delete table inet corduroy',
    'add table inet other',
    '# new generation 14 by process 25413 (nft)',
    '',
  ])('%s is nothing to us', (line) => {
    expect(nftHint(line, WATCHED)).toBeUndefined();
  });
});
