import { describe, expect, test } from 'vitest';
import { addressesOf, observedLink, routeStates } from '../../../src/host/observe.ts';
import { fdbIn, neighboursIn, txChecksumIn } from '../../../src/host/observe-vxlan.ts';
import { formatInterfaceAddress, formatRoute } from '../../../src/host/state.ts';

test('the addresses of a link as ip shows it, without link-local ones', () => {
  const record = {
    ifname: 'eth0',
    flags: ['UP'],
    mtu: 1500,
    addr_info: [
      { family: 'inet', local: '10.0.0.5', prefixlen: 24, scope: 'global' },
      { family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: 'host' },
      { family: 'inet6', local: 'fd00::5', prefixlen: 64, scope: 'global' },
      { family: 'inet6', local: 'fe80::5', prefixlen: 64, scope: 'link' },
      { prefixlen: 0, scope: 'global' },
    ],
  };
  expect(addressesOf(record).map(formatInterfaceAddress)).toEqual([
    '10.0.0.5/24',
    '127.0.0.1/8',
    'fd00::5/64',
  ]);
  expect(addressesOf({ ifname: 'eth0', flags: [], mtu: 1500 })).toEqual([]);
});

test.each([
  ['a tun of one queue', { info_kind: 'tun', info_data: { multi_queue: false } }, 'tun', false],
  ['a tun of several', { info_kind: 'tun', info_data: { multi_queue: true, numqueues: 0 } }, 'tun', true],
  ['a bridge', { info_kind: 'bridge' }, 'bridge', false],
  ['a card', undefined, '', false],
])('the kind of a link: %s', (_what, linkinfo, kind, multiQueue) => {
  const record = { ifname: 'x0', flags: [], mtu: 1500, ...(linkinfo && { linkinfo }) };
  expect(observedLink(record)).toMatchObject({ kind, multiQueue });
});

/** As iproute2 6.1 prints them. */
describe('what a tunnel is', () => {
  const OF_ALL = { ttl: 0, df: 'unset', ageing: 300, udp_csum: true };
  const record = (info_kind: string, info_data: object) => ({
    ifname: 'x0',
    address: '02:11:11:11:11:11',
    flags: [],
    mtu: 1450,
    linkinfo: { info_kind, info_data },
  });

  test.each([
    [
      'a VXLAN',
      record('vxlan', { ...OF_ALL, id: 1, local: '192.0.2.1', link: 'eth0', port: 8472, learning: false }),
      '192.0.2.1 eth0 1 8472 false false',
    ],
    [
      'a VXLAN with IPv6 outside, learning and group policy',
      record('vxlan', {
        ...OF_ALL,
        id: 7,
        local6: '2001:db8::1',
        link: 'eth0',
        port: 4789,
        learning: true,
        gbp: true,
      }),
      '2001:db8::1 eth0 7 4789 true true',
    ],
    [
      'a VXLAN of somebody else’s, without an address',
      record('vxlan', { id: 7, port: 4789 }),
      '  7 4789 false false',
    ],
    ['ipip', record('ipip', { remote: 'any', local: '192.0.2.1', link: 'eth0' }), '192.0.2.1 eth0    '],
    [
      'ipip on top of what only the link itself tells',
      { ...record('ipip', { remote: 'any', local: '192.0.2.1' }), link: 'eth0' },
      '192.0.2.1 eth0    ',
    ],
    ['tunl0', record('ipip', { remote: 'any', local: 'any' }), '     '],
  ])('%s', (_what, link, expected) => {
    const { tunnel, mac } = observedLink(link);
    const { vni, port, learning, gbp } = tunnel?.vxlan ?? {};
    expect(
      [tunnel?.local, tunnel?.device, vni, port, learning, gbp].map((one) => `${one ?? ''}`).join(' '),
    ).toBe(expected);
    expect(mac).toBe('02:11:11:11:11:11');
  });

  test('a veth is none', () => {
    expect(observedLink({ ifname: 'v0', flags: [], mtu: 1500, link: 'v1' }).tunnel).toBeUndefined();
  });
});

describe('routes as ip shows them', () => {
  test.each([
    [{ type: 'unicast', dst: '10.5.0.0/16', dev: 'corduroy0', flags: [] }, ['10.5.0.0/16 dev corduroy0']],
    [{ dst: '10.5.0.7', dev: 'corduroy0' }, ['10.5.0.7/32 dev corduroy0']],
    [
      { type: 'unicast', dst: '10.5.2.0/24', gateway: '10.5.2.0', dev: 'corduroy.1', flags: ['onlink'] },
      ['10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink'],
    ],
    [
      { type: 'unicast', dst: '10.5.2.0/24', gateway: '192.0.2.2', dev: 'eth0', flags: ['linkdown'] },
      ['10.5.2.0/24 via 192.0.2.2 dev eth0'],
    ],
    [
      {
        type: 'unicast',
        dst: 'fd00:5:2::/64',
        gateway: 'fd00:5:2::',
        dev: 'corduroy6.1',
        metric: 1024,
        flags: ['onlink'],
      },
      ['fd00:5:2::/64 via fd00:5:2:: dev corduroy6.1 onlink'],
    ],
    [{ dst: 'fd00:5:2::/64', dev: 'eth0', metric: 5 }, ['fd00:5:2::/64 dev eth0 metric 5']],
    [{ dst: '10.5.2.0/24', dev: 'eth0', metric: 5 }, ['10.5.2.0/24 dev eth0 metric 5']],
    [
      { dst: '10.5.2.0/24', dev: 'eth0', via: { family: 'inet6', host: 'fe80::1' } },
      ['10.5.2.0/24 via fe80::1 dev eth0'],
    ],
    [
      {
        type: 'unicast',
        dst: 'fd00:5:4::/64',
        metric: 1024,
        flags: [],
        nexthops: [
          { gateway: '2001:db8::3', dev: 'eth0', weight: 1, flags: [] },
          { gateway: '2001:db8::4', dev: 'eth1', weight: 1, flags: ['onlink'] },
        ],
      },
      ['fd00:5:4::/64 via 2001:db8::3 dev eth0', 'fd00:5:4::/64 via 2001:db8::4 dev eth1 onlink'],
    ],
    [
      { type: 'blackhole', dst: 'fd00:5:9::/64', dev: 'lo', metric: 4278198272, flags: [] },
      ['blackhole fd00:5:9::/64 metric 4278198272'],
    ],
    [{ type: 'unreachable', dst: '10.5.9.0/24' }, []],
    [{ dst: 'default', gateway: '192.0.2.254', dev: 'eth0' }, []],
    [{ dst: '10.5.9.0/24', nhid: 7 }, []],
    [{ dst: 'what is this' }, []],
  ])('%j', (record, expected) => {
    expect(routeStates(record).map(formatRoute)).toEqual(expected);
  });
});

describe('what a VXLAN device holds', () => {
  test('neighbours', () => {
    const records = [
      { dst: '10.5.2.0', lladdr: '02:22:22:22:22:AA', state: ['PERMANENT'] },
      { dst: 'fd00:5:2:0::', lladdr: '02:22:22:22:22:23', state: ['PERMANENT'] },
      { dst: '10.5.3.0', state: ['PERMANENT'] },
      {},
    ];
    expect([...neighboursIn(records)]).toEqual([
      ['10.5.2.0', '02:22:22:22:22:aa'],
      ['fd00:5:2::', '02:22:22:22:22:23'],
      ['10.5.3.0', ''],
    ]);
  });

  test('FDB entries: permanent ones, by their hardware address', () => {
    const records = [
      { mac: '00:00:00:00:00:00', dst: '192.0.2.3', flags: ['self'], state: 'permanent' },
      { mac: '00:00:00:00:00:00', dst: '192.0.2.4', flags: ['self'], state: 'permanent' },
      { mac: '02:22:22:22:22:AA', dst: '2001:db8:0::2', flags: ['self'], state: 'permanent' },
      { mac: '02:22:22:22:22:23', dst: '192.0.2.9', flags: ['self'], state: '' },
      { mac: '02:22:22:22:22:24', vlan: 1, flags: [], master: 'br0', state: 'permanent' },
      {},
    ];
    expect([...fdbIn(records)]).toEqual([
      ['00:00:00:00:00:00', ['192.0.2.3', '192.0.2.4']],
      ['02:22:22:22:22:aa', ['2001:db8::2']],
    ]);
  });

  test.each([
    [
      'tx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n\ttx-checksum-ip-generic: on\n',
      { txChecksum: true },
    ],
    ['\ttx-checksum-ip-generic: off [requested on]\n', { txChecksum: false }],
    ['Cannot get device feature names: No such device', {}],
  ])('the checksum switch: %j', (features, expected) => {
    expect(txChecksumIn(features)).toEqual(expected);
  });
});
