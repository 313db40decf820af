import { describe, expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { check, DUAL, DUAL_IFACE, IFACE, inputWith, openBackend, V4, V6_ONLY } from './fixtures.ts';
import { linesOf } from './format-state.ts';

const lease = (publicIp: string, publicIpv6: string | null = null) => ({
  PublicIP: publicIp,
  PublicIPv6: publicIpv6,
  BackendType: 'host-gw',
});

function open(over: object = V4, iface = DUAL_IFACE) {
  return openBackend({ Type: 'host-gw' }, { over, iface });
}

test('it has no option: what stands there is named', () => {
  expect(check({ Type: 'Host-GW', DirectRouting: true })).toMatchObject({
    problems: [],
    unknownKeys: ['Backend.DirectRouting'],
  });
});

test.each<[string, object, string]>([
  ['IPv4', V4, '{"PublicIP":"192.0.2.5","PublicIPv6":null,"BackendType":"host-gw"}'],
  ['both families', DUAL, '{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5","BackendType":"host-gw"}'],
  ['IPv6 only', V6_ONLY, '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5","BackendType":"host-gw"}'],
])('the lease, byte for byte as flanneld: %s', (_what, over, expected) => {
  expect(formatLeaseValue(open(over).attributes)).toBe(expected);
});

test('a packet is as large as the interface takes', () => {
  expect(open().mtu).toBe(1500);
});

describe('the host with host-gw', () => {
  test('IPv4: a route by each peer, forwarding on the interface they use, and nothing else', () => {
    const input = inputWith({ '10.5.2.0-24': lease('192.0.2.2'), '10.5.3.0-24': lease('192.0.2.3') });
    expect(linesOf(open().desired(input))).toEqual([
      'route 10.5.2.0/24 via 192.0.2.2 dev eth0',
      'route 10.5.3.0/24 via 192.0.2.3 dev eth0',
      'net/ipv4/conf/eth0/forwarding=1',
    ]);
  });

  test('both families: each by the address of its family; of a peer with one what it has', () => {
    const input = inputWith(
      {
        '10.5.2.0-24&fd00:5:0:2::-64': lease('192.0.2.2', '2001:db8::2'),
        '10.5.3.0-24': lease('192.0.2.3'),
      },
      { over: DUAL },
    );
    expect(linesOf(open(DUAL).desired(input))).toEqual([
      'route 10.5.2.0/24 via 192.0.2.2 dev eth0',
      'route fd00:5:0:2::/64 via 2001:db8::2 dev eth0',
      'route 10.5.3.0/24 via 192.0.2.3 dev eth0',
      'net/ipv4/conf/eth0/forwarding=1',
      'net/ipv6/conf/eth0/force_forwarding=1',
    ]);
  });

  test('IPv6 only: IPv4 is left alone', () => {
    const input = inputWith({ 'fd00:5:0:2::-64': lease('0.0.0.0', '2001:db8::2') }, { over: V6_ONLY });
    expect(linesOf(open(V6_ONLY).desired(input))).toEqual([
      'route fd00:5:0:2::/64 via 2001:db8::2 dev eth0',
      'net/ipv6/conf/eth0/force_forwarding=1',
    ]);
  });

  test('without peers nothing of the host is changed', () => {
    expect(linesOf(open().desired(inputWith({})))).toEqual([]);
  });
});

describe('leases that no packet can be sent to', () => {
  test.each<[string, object, RegExp | undefined]>([
    ['on the link', lease('192.0.2.2'), undefined],
    [
      'behind a router',
      lease('203.0.113.9'),
      /^its public address 203\.0\.113\.9 is not on the link of eth0 \(192\.0\.2\.0\/24\), .*DirectRouting/,
    ],
    [
      "the link's broadcast address",
      lease('192.0.2.255'),
      /^its public address 192\.0\.2\.255 is not on the link/,
    ],
    [
      'the first address of the link',
      lease('192.0.2.0'),
      /^its public address 192\.0\.2\.0 is not on the link/,
    ],
    ['no address of the family', lease('0.0.0.0', '2001:db8::2'), /^it has no IPv4 address to send to$/],
    [
      'another backend',
      { ...lease('192.0.2.2'), BackendType: 'vxlan' },
      /^its BackendType is vxlan, not host-gw/,
    ],
  ])('%s', (_what, value, expected) => {
    const [peer] = inputWith({ '10.5.2.0-24': value }).peers;
    const reason = peer && open().objectionTo(peer);
    if (expected === undefined) expect(reason).toBeUndefined();
    else expect(reason).toMatch(expected);
  });

  test('of a peer with both families, whatever can be reached is, and the rest is named', () => {
    const input = inputWith(
      { '10.5.2.0-24&fd00:5:0:2::-64': lease('192.0.2.2', '2001:db8:9::2') },
      { over: DUAL },
    );
    const backend = open(DUAL);
    expect(input.peers.map(backend.objectionTo)).toEqual([undefined]);
    expect(input.peers.map((peer) => backend.gapIn?.(peer))).toEqual([
      expect.stringMatching(
        /^its public address 2001:db8:9::2 is not on the link of eth0 \(2001:db8::\/64\), /,
      ),
    ]);
    expect(linesOf(backend.desired(input))).toEqual([
      'route 10.5.2.0/24 via 192.0.2.2 dev eth0',
      'net/ipv4/conf/eth0/forwarding=1',
    ]);
  });
});

test('a public address that is not the interface’s is a warning: flanneld would refuse to start', () => {
  expect(open().warnings).toEqual([]);
  expect(open(V4, IFACE).warnings).toEqual([
    expect.stringMatching(
      /public address 198\.51\.100\.5 is not that of eth0, 10\.0\.0\.5: .* Leave --public-ip away/,
    ),
  ]);
});
