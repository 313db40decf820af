import { isIPv6 } from 'node:net';
import type { Backend, BackendContext, BackendInput } from '../../../src/backend/backend.ts';
import { checkBackend } from '../../../src/backend/registry.ts';
import { namesFor } from '../../../src/config/names.ts';
import { formatProblem, parseNetworkConfig } from '../../../src/config/network-config.ts';
import type { ExternalInterface } from '../../../src/host/state.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { entry, PREFIX } from '../lease/fixtures.ts';

/** The host of these tests is behind a NAT for IPv4. */
export const IFACE: ExternalInterface = {
  name: 'eth0',
  mac: '02:00:00:00:00:05',
  mtu: 1500,
  v4: { address: Ip.parse('10.0.0.5'), publicIp: Ip.parse('198.51.100.5') },
  onLink: [Prefix.parse('10.0.0.0/24')],
  why: '',
};

/** As IFACE, with both families and no NAT; 192.0.2.0/24 and 2001:db8::/64 are on its link. */
export const DUAL_IFACE: ExternalInterface = {
  ...IFACE,
  v4: { address: Ip.parse('192.0.2.5'), publicIp: Ip.parse('192.0.2.5') },
  v6: { address: Ip.parse('2001:db8::5'), publicIp: Ip.parse('2001:db8::5') },
  onLink: [Prefix.parse('192.0.2.0/24'), Prefix.parse('2001:db8::/64')],
};

export const V4 = { Network: '10.5.0.0/16' };
export const DUAL = { ...V4, EnableIPv6: true, IPv6Network: 'fd00:5::/48' };
export const V6_ONLY = { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:5::/48' };

/** @param over the rest of the network config */
export function check(backend: object, over: object = V4) {
  const { value: network } = parseNetworkConfig(JSON.stringify({ ...over, Backend: backend }));
  if (network === undefined) throw new Error('the network config of this test is not valid');
  return { network, ...checkBackend(network) };
}

/** What is wrong with the backend's options, a line each. */
export function problemsOf(backend: object, over: object = V4): string[] {
  return check(backend, over).problems.map(formatProblem);
}

export function openBackend(
  backend: object = {},
  { over = V4, ...context }: Partial<BackendContext> & { readonly over?: object } = {},
): Backend {
  const { value, network } = check(backend, over);
  if (value === undefined) throw new Error('the backend of this test is not valid');
  return value.open({
    iface: IFACE,
    families: network.ranges.map(({ network: { family } }) => family),
    names: namesFor('').devices,
    nodeId: '0123456789abcdef0123456789abcdef',
    datapath: { engine: undefined, offload: true, queues: 1 },
    wireguardKeys: new Map(),
    printed: '',
    ...context,
  });
}

/** @param leases last part of the key, and the value */
export function inputWith(
  leases: Readonly<Record<string, object>>,
  { over = V4 as object, subnets = ['10.5.1.0/24'], capabilities = [] as readonly string[] } = {},
): BackendInput {
  const entries = Object.entries(leases).map(([name, value], at) => ({
    ...entry(name, JSON.stringify(value), at + 1),
    ...(isIPv6(name.replace(/-.*/, '')) && { key: `${PREFIX}/corduroy/subnets/${name}` }),
  }));
  return {
    ranges: check({}, over).network.ranges,
    subnets: subnets.map(Prefix.parse),
    peers: new LeaseTable(PREFIX, entries).leases(),
    capabilitiesOf: () => capabilities,
  };
}
