import { expect, test } from 'vitest';
import { bridgeState } from '../../../src/bridge/managed-bridge.ts';
import { formatInterfaceAddress } from '../../../src/host/state.ts';
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
  expect(sysctls).toEqual([{ path: 'net/ipv4/conf/cbr0/forwarding', value: '1' }]);
  expect([links.length, routes]).toEqual([1, []]);
});

test('without IPv4 the kernel chooses the hardware address', () => {
  expect(bridgeState('cbr0', [Prefix.parse('fd00::/64')], 1472).links[0]).not.toHaveProperty('mac');
});
