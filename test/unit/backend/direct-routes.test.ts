import { describe, expect, test } from 'vitest';
import { deviceSysctls, underlaySysctls } from '../../../src/backend/device-sysctls.ts';
import { directGateway, directRoutes } from '../../../src/backend/direct-routes.ts';
import { formatRoute } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { DUAL, DUAL_IFACE, inputWith } from './fixtures.ts';

function gateway(address: string, onLink: readonly string[]) {
  const ip = Ip.parse(address);
  const attributes = { publicIp: undefined, publicIpv6: undefined };
  const key = ip.family === 4 ? 'publicIp' : 'publicIpv6';
  const iface = { ...DUAL_IFACE, onLink: onLink.map(Prefix.parse) };
  return directGateway({ ...attributes, [key]: ip }, iface, ip.family)?.toString();
}

describe('which peers are reached without a gateway', () => {
  test.each<[string, string, string[], boolean]>([
    ['on the link', '192.0.2.9', ['192.0.2.0/24'], true],
    ['on the second of two links', '192.0.2.9', ['198.51.100.0/24', '192.0.2.0/24'], true],
    ['elsewhere', '192.0.3.9', ['192.0.2.0/24'], false],
    ['nothing is on the link', '192.0.2.9', [], false],
    ['an address without a network', '192.0.2.9', ['192.0.2.5/32'], false],
    ['the broadcast address', '192.0.2.255', ['192.0.2.0/24'], false],
    ['the first address', '192.0.2.0', ['192.0.2.0/24'], false],
    ['the broadcast address of one of two networks', '192.0.2.255', ['192.0.2.0/24', '192.0.0.0/16'], false],
    ['the other end of a link of two', '192.0.2.4', ['192.0.2.4/31'], true],
    ['IPv6', '2001:db8::9', ['2001:db8::/64'], true],
    ['the last address of an IPv6 link', '2001:db8::ffff:ffff:ffff:ffff', ['2001:db8::/64'], true],
    ['IPv6 elsewhere', '2001:db8:1::9', ['2001:db8::/64', '192.0.2.0/24'], false],
  ])('%s', (_what, address, onLink, expected) => {
    expect(gateway(address, onLink)).toBe(expected ? address : undefined);
  });

  test('a peer without an address of the family is reached by no gateway of the other', () => {
    const [peer] = inputWith(
      { '10.5.2.0-24&fd00:5:0:2::-64': { PublicIP: '192.0.2.2', PublicIPv6: null } },
      { over: DUAL },
    ).peers;
    expect(peer && directRoutes(peer, DUAL_IFACE).map(formatRoute)).toEqual([
      '10.5.2.0/24 via 192.0.2.2 dev eth0',
    ]);
  });
});

describe('sysctls', () => {
  const textOf = (sysctls: readonly { path: string; value: string }[]) =>
    sysctls.map(({ path, value }) => `${path}=${value}`);

  test('of a device with one family or both', () => {
    expect(textOf(deviceSysctls('tun0', [4]))).toEqual([
      'net/ipv4/conf/tun0/forwarding=1',
      'net/ipv4/conf/tun0/rp_filter=2',
      'net/ipv6/conf/tun0/disable_ipv6=1',
    ]);
    const six = [
      'net/ipv6/conf/tun0/disable_ipv6=0',
      'net/ipv6/conf/tun0/force_forwarding=1',
      'net/ipv6/conf/tun0/accept_ra=0',
    ];
    expect(textOf(deviceSysctls('tun0', [6]))).toEqual(six);
    expect(textOf(deviceSysctls('tun0', [4, 6]))).toEqual([
      'net/ipv4/conf/tun0/forwarding=1',
      'net/ipv4/conf/tun0/rp_filter=2',
      ...six,
    ]);
  });

  test('of the external interface: forwarding for the families that routes use it for, and nothing else', () => {
    const route = (prefix: string, device: string) =>
      ({ type: 'unicast', prefix: Prefix.parse(prefix), device }) as const;
    expect(underlaySysctls('eth0', [route('10.5.2.0/24', 'tun0')])).toEqual([]);
    expect(textOf(underlaySysctls('eth0', [route('10.5.2.0/24', 'eth0')]))).toEqual([
      'net/ipv4/conf/eth0/forwarding=1',
    ]);
    expect(
      textOf(underlaySysctls('eth0', [route('fd00::/64', 'eth0'), route('10.5.2.0/24', 'tun0')])),
    ).toEqual(['net/ipv6/conf/eth0/force_forwarding=1']);
  });
});
