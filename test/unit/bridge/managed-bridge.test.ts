import { expect, test } from 'vitest';
import { bridgeState } from '../../../src/bridge/managed-bridge.ts';
import { formatInterfaceAddress, ipv6Forwarding } from '../../../src/host/state.ts';
import { Prefix } from '../../../src/net/prefix.ts';

test("has the gateways' addresses, the overlay's MTU, a lasting hardware address, and forwards", () => {
  const { links, routes, sysctls } = bridgeState(
    'cbr0',
    ['10.5.72.0/24', 'fd00:0:0:13::/64'].map(Prefix.parse),
    1472,
  );
  const [link] = links;
  expect(link).toMatchObject({ name: 'cbr0', kind: 'bridge', mtu: 1472, mac: '02:cd:0a:05:48:01' });
  expect(link?.addresses.map(formatInterfaceAddress)).toEqual(['10.5.72.1/24', 'fd00:0:0:13::1/64']);
  expect(sysctls).toContainEqual({ path: 'net/ipv4/conf/cbr0/forwarding', value: '1' });
  expect(sysctls).toContainEqual(ipv6Forwarding('cbr0'));
  expect([links.length, routes]).toEqual([1, []]);
});

test('a network of one family leaves the other alone', () => {
  const pathsOf = (subnet: string) =>
    bridgeState('cbr0', [Prefix.parse(subnet)], 1472).sysctls.map(({ path }) => path.slice(0, 8));
  expect(new Set(pathsOf('10.5.72.0/24'))).toEqual(new Set(['net/ipv4']));
  expect(new Set(pathsOf('fd00::/64'))).toEqual(new Set(['net/ipv6']));
});

test('without IPv4, too, the hardware address lasts, and differs with the subnet', () => {
  const macOf = (subnet: string) => {
    const [link] = bridgeState('cbr0', [Prefix.parse(subnet)], 1472).links;
    return link?.kind === 'bridge' ? link.mac : undefined;
  };
  expect(macOf('fd00:0:0:13::/64')).toBe('02:cd:fd:00:00:12');
  expect(macOf('fd00:0:0:14::/64')).not.toBe(macOf('fd00:0:0:13::/64'));
  expect(macOf('fd00:0:0:1300::/56')).not.toBe(macOf('fd00:0:0:1400::/56'));
});

test('no container can become the router of this host', () => {
  const { sysctls } = bridgeState('cbr0', [Prefix.parse('fd00::/64')], 1472);
  expect(sysctls).toContainEqual({ path: 'net/ipv6/conf/cbr0/accept_ra', value: '0' });
});
