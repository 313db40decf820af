import { describe, expect, test } from 'vitest';
import type { BackendInput } from '../../../src/backend/backend.ts';
import { formatInterfaceAddress, formatRoute } from '../../../src/host/state.ts';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { formatEndpoint } from '../../../src/net/endpoint.ts';
import { DUAL, DUAL_IFACE, IFACE, inputWith, openBackend, V4, V6_ONLY } from './fixtures.ts';

const DUAL_SUBNETS = ['10.5.1.0/24', 'fd00:5:0:1::/64'];
const PEER = { PublicIP: '192.0.2.2', PublicIPv6: '2001:db8::2' };
const DIRECT = { Type: 'udp', DirectRouting: true };

function tunnelRoutes(input: BackendInput, over: object): string[] {
  const { datapath } = openBackend({}, { over, iface: DUAL_IFACE }).desired(input);
  return (datapath?.routes ?? []).map(({ prefix, peer }) => `${prefix} ${formatEndpoint(peer)}`);
}

const routesOf = (input: BackendInput, backend: object, over: object = V4, iface = DUAL_IFACE) =>
  openBackend(backend, { over, iface }).desired(input).host.routes.map(formatRoute);

describe('a dual-stack network: both families in one tunnel, over IPv4', () => {
  const input = inputWith(
    { '10.5.2.0-24&fd00:5:0:2::-64': PEER, '10.5.3.0-24': { PublicIP: '192.0.2.3' } },
    { over: DUAL, subnets: DUAL_SUBNETS },
  );
  const backend = openBackend({}, { over: DUAL, iface: DUAL_IFACE });

  test('what the lease says, and the room that is left', () => {
    expect(formatLeaseValue(backend.attributes)).toBe('{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5"}');
    expect(backend.mtu).toBe(1472);
  });

  test('the host: one device with an address and a route of each, and IPv6 on', () => {
    const { links, routes, sysctls } = backend.desired(input).host;
    expect(links).toHaveLength(1);
    expect(links[0]?.addresses.map(formatInterfaceAddress)).toEqual(['10.5.1.0/32', 'fd00:5:0:1::/128']);
    expect(routes.map(formatRoute)).toEqual(['10.5.0.0/16 dev corduroy0', 'fd00:5::/48 dev corduroy0']);
    expect(sysctls).toContainEqual({ path: 'net/ipv6/conf/corduroy0/disable_ipv6', value: '0' });
  });

  test('the data plane: every subnet of a peer leads to its IPv4 address; it answers in both families', () => {
    expect(tunnelRoutes(input, DUAL)).toEqual([
      '10.5.2.0/24 192.0.2.2:8285',
      'fd00:5:0:2::/64 192.0.2.2:8285',
      '10.5.3.0/24 192.0.2.3:8285',
    ]);
    const { config } = backend.desired(input).datapath ?? {};
    expect(config?.listen.address.toString()).toBe('192.0.2.5');
    expect(config?.icmpSources.map(String)).toEqual(['10.5.1.0', 'fd00:5:0:1::']);
  });
});

describe('a network of IPv6 only: over IPv6', () => {
  const backend = openBackend({}, { over: V6_ONLY, iface: DUAL_IFACE });
  const input = {
    ...inputWith({ '10.5.2.0-24&fd00:5:0:2::-64': PEER }, { over: V6_ONLY, subnets: ['fd00:5:0:1::/64'] }),
  };

  test('what the lease says, and the room that is left', () => {
    expect(formatLeaseValue(backend.attributes)).toBe('{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5"}');
    expect(backend.mtu).toBe(1452);
  });

  test('the data plane listens there, and peers are where their IPv6 address is', () => {
    const { datapath, host } = backend.desired(input);
    expect(datapath?.config.listen.address.toString()).toBe('2001:db8::5');
    expect(datapath?.routes.map(({ peer }) => formatEndpoint(peer))).toContain('[2001:db8::2]:8285');
    expect(host.routes.map(formatRoute)).toEqual(['fd00:5::/48 dev corduroy0']);
    expect(host.sysctls.filter(({ path }) => path.startsWith('net/ipv4/'))).toEqual([]);
  });

  test('needs an IPv6 address on this host', () => {
    expect(() => openBackend({}, { over: V6_ONLY })).toThrow(/eth0 has no IPv6 address/);
  });
});

test.each([
  [DUAL, { PublicIP: '0.0.0.0', PublicIPv6: '2001:db8::2' }, /no IPv4 address \(PublicIP\)/],
  [V6_ONLY, { PublicIP: '192.0.2.2', PublicIPv6: null }, /no IPv6 address \(PublicIPv6\)/],
  [DUAL, PEER, undefined],
  [V6_ONLY, PEER, undefined],
  [V4, { PublicIP: '192.0.2.2', BackendType: 'vxlan' }, undefined],
])(
  'in %o nothing can be sent to a peer without an address of the outer family: %o',
  (over, value, expected) => {
    const [lease] = inputWith({ '10.5.2.0-24': value }).peers;
    const reason = lease && openBackend({}, { over, iface: DUAL_IFACE }).objectionTo(lease);
    if (expected === undefined) expect(reason).toBeUndefined();
    else expect(reason).toMatch(expected);
  },
);

describe('DirectRouting', () => {
  const leases = {
    '10.5.2.0-24': { PublicIP: '192.0.2.2' },
    '10.5.3.0-24': { PublicIP: '198.51.100.3' },
  };
  const willing = inputWith(leases, { capabilities: ['engine-native', 'direct'] });

  test('a peer on the link is routed plainly, the others through the tunnel; each stays in the table', () => {
    expect(routesOf(willing, DIRECT)).toEqual([
      '10.5.0.0/16 dev corduroy0',
      '10.5.2.0/24 via 192.0.2.2 dev eth0',
    ]);
    const { datapath } = openBackend(DIRECT, { iface: DUAL_IFACE }).desired(willing);
    expect(datapath?.routes.map(({ prefix }) => prefix.toString())).toEqual(['10.5.2.0/24', '10.5.3.0/24']);
  });

  test('this host then forwards what comes in by the interface, and else leaves it alone', () => {
    const forwarding = { path: 'net/ipv4/conf/eth0/forwarding', value: '1' };
    const sysctlsOf = (backend: object) =>
      openBackend(backend, { iface: DUAL_IFACE }).desired(willing).host.sysctls;
    expect(sysctlsOf(DIRECT)).toContainEqual(forwarding);
    expect(sysctlsOf({})).not.toContainEqual(forwarding);
  });

  test('only with a peer that says it takes plain packets: flanneld does not', () => {
    expect(routesOf(inputWith(leases), DIRECT)).toEqual(['10.5.0.0/16 dev corduroy0']);
    expect(routesOf(willing, {})).toEqual(['10.5.0.0/16 dev corduroy0']);
  });

  test('says so of itself', () => {
    expect(openBackend(DIRECT).capabilities).toContain('direct');
    expect(openBackend({}).capabilities).not.toContain('direct');
  });

  test('a peer that moves off the link goes through the tunnel again', () => {
    const moved = inputWith({ '10.5.2.0-24': { PublicIP: '198.51.100.2' } }, { capabilities: ['direct'] });
    expect(routesOf(moved, DIRECT)).toEqual(['10.5.0.0/16 dev corduroy0']);
    expect(routesOf(willing, DIRECT, V4, IFACE)).toEqual(['10.5.0.0/16 dev corduroy0']);
  });

  test('each family by itself: plainly where the address of that family is on the link', () => {
    const half = { PublicIP: '192.0.2.2', PublicIPv6: '2001:db8:ffff::2' };
    const input = inputWith(
      { '10.5.2.0-24&fd00:5:0:2::-64': half, '10.5.3.0-24&fd00:5:0:3::-64': PEER },
      { over: DUAL, subnets: DUAL_SUBNETS, capabilities: ['direct'] },
    );
    expect(routesOf(input, DIRECT, DUAL).slice(2)).toEqual([
      '10.5.2.0/24 via 192.0.2.2 dev eth0',
      '10.5.3.0/24 via 192.0.2.2 dev eth0',
      'fd00:5:0:3::/64 via 2001:db8::2 dev eth0',
    ]);
    const backend = openBackend(DIRECT, { over: DUAL, iface: DUAL_IFACE });
    expect(input.peers.map((peer) => backend.isDirect(peer, ['direct']))).toEqual([false, true]);
    expect(input.peers.map((peer) => backend.isDirect(peer, []))).toEqual([false, false]);
  });

  test('what is sent in one packet is the same for every peer', () => {
    expect(openBackend(DIRECT).mtu).toBe(1472);
  });
});
