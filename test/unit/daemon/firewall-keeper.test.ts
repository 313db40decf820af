import { expect, test } from 'vitest';
import { resolveOptions } from '../../../src/config/options.ts';
import { firewallStates, waysOf } from '../../../src/daemon/firewall-keeper.ts';
import type { HostState, LinkState, RouteState } from '../../../src/host/state.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const link = (name: string, kind: 'tun' | 'bridge' = 'tun'): LinkState => ({
  name,
  kind,
  mtu: 1472,
  addresses: [],
});
const route = (prefix: string, device: string): RouteState => ({
  type: 'unicast',
  prefix: Prefix.parse(prefix),
  device,
});
const host = (links: readonly LinkState[], routes: readonly RouteState[]): HostState => ({
  links,
  routes,
  sysctls: [],
});
const ways = (links: readonly LinkState[], routes: readonly RouteState[]) =>
  waysOf({ host: host(links, routes), underlay: 'eth0' });

test.each<[string, ReturnType<typeof ways>, ReturnType<typeof ways>]>([
  ['a tunnel', ways([link('corduroy0')], [route('10.5.0.0/16', 'corduroy0')]), { tunnels: ['corduroy0'] }],
  [
    'a tunnel, and some hosts plainly',
    ways([link('corduroy0')], [route('10.5.0.0/16', 'corduroy0'), route('10.5.2.0/24', 'eth0')]),
    { tunnels: ['corduroy0'], underlay: 'eth0' },
  ],
  ['all hosts plainly', ways([], [route('10.5.2.0/24', 'eth0')]), { tunnels: [], underlay: 'eth0' }],
  ['nothing of Corduroy at all', ways([], []), { tunnels: [] }],
  ['a bridge is no way to other hosts', ways([link('cbr0', 'bridge')], []), { tunnels: [] }],
  [
    'a blackhole leads nowhere',
    ways([], [{ type: 'blackhole', prefix: Prefix.parse('10.5.1.0/24'), metric: 1 }]),
    { tunnels: [] },
  ],
])('the ways to other hosts: %s', (_what, found, expected) => {
  expect(found).toEqual(expected);
});

const NETWORKS = ['10.5.0.0/16', 'fd00:5::/48'].map(Prefix.parse);
const SUBNETS = ['10.5.1.0/24', 'fd00:5:0:1::/64'].map(Prefix.parse);
const states = (flags: Record<string, string[]>, networks = NETWORKS, subnets = SUBNETS) =>
  firewallStates(
    { host: host([link('corduroy0')], []), networks, subnets, underlay: 'eth0' },
    resolveOptions(flags, {}).flags,
  );

test('each family has its network, and the excluded destinations of its own', () => {
  const [v4, v6] = states({ 'ip-masq': ['true'], 'ip-masq-exclude': ['192.168.0.0/16', '2001:db8::/32'] });
  expect([v4?.exclude.join(), v6?.exclude.join()]).toEqual(['192.168.0.0/16', '2001:db8::/32']);
  expect(v6).toMatchObject({ masquerade: 'fully-random', forward: true, tunnels: ['corduroy0'] });
  expect(`${v6?.network} ${v6?.subnet}`).toBe('fd00:5::/48 fd00:5:0:1::/64');
});

test('of a family that the network has not, or this host no subnet of, nothing is wanted', () => {
  expect(states({}, NETWORKS.slice(0, 1), SUBNETS.slice(0, 1))).toHaveLength(1);
  expect(states({}, NETWORKS, SUBNETS.slice(1)).map(({ network }) => network.family)).toEqual([6]);
});
