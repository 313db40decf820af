import { describe, expect, test } from 'vitest';
import { formatSubnetEnv, type SubnetEnv } from '../../../../src/bridge/subnet-env.ts';
import { Prefix } from '../../../../src/net/prefix.ts';

/**
 * What flannel's CNI plugin (github.com/flannel-io/cni-plugin) takes from subnet.env for the bridge plugin, and what it
 * demands: a network, a subnet, the MTU and FLANNEL_IPMASQ. Its routes are to the network; it masquerades if the daemon
 * does not.
 */
function readAsPlugin(text: string) {
  const values = new Map(
    text.split('\n').map((line) => {
      const [name = '', ...rest] = line.split('=');
      return [name, rest.join('=')];
    }),
  );
  const networks = (...names: string[]) =>
    names.flatMap((name) =>
      values.has(name) ? [Prefix.parseMasked(values.get(name) ?? '').toString()] : [],
    );
  const routes = networks('FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK');
  const ranges = networks('FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET');
  const mtu = values.get('FLANNEL_MTU') ?? '';
  const missing = [
    ...(routes.length === 0 ? ['network'] : []),
    ...(ranges.length === 0 ? ['subnet'] : []),
    ...(/^\d+$/.test(mtu) ? [] : ['MTU']),
    ...(values.has('FLANNEL_IPMASQ') ? [] : ['IPMASQ']),
  ];
  if (missing.length > 0) throw new Error(`subnet.env is missing ${missing.join(', ')}`);
  return { ranges, routes, mtu: Number(mtu), ipMasq: values.get('FLANNEL_IPMASQ') !== 'true' };
}

const family = (network: string, subnet: string) => ({
  network: Prefix.parse(network),
  subnet: Prefix.parse(subnet),
});
const V4 = family('10.5.0.0/16', '10.5.72.0/24');
const V6 = family('fd00:12::/48', 'fd00:12:0:13::/64');
const read = (content: SubnetEnv) => readAsPlugin(formatSubnetEnv(content));

describe("flannel's CNI plugin makes of subnet.env", () => {
  test('a bridge with the subnet and the MTU, and a route to the network', () => {
    expect(read({ families: [V4], mtu: 1472, ipMasq: true })).toEqual({
      ranges: ['10.5.72.0/24'],
      routes: ['10.5.0.0/16'],
      mtu: 1472,
      ipMasq: false,
    });
  });

  test('a masquerading one where the daemon does not masquerade', () => {
    expect(read({ families: [V4], mtu: 1472, ipMasq: false }).ipMasq).toBe(true);
  });

  test('one with both families', () => {
    const { ranges, routes } = read({ families: [V4, V6], mtu: 1450, ipMasq: true });
    expect(ranges).toEqual(['10.5.72.0/24', 'fd00:12:0:13::/64']);
    expect(routes).toEqual(['10.5.0.0/16', 'fd00:12::/48']);
  });

  test('one with IPv6 alone', () => {
    expect(read({ families: [V6], mtu: 1450, ipMasq: true }).ranges).toEqual(['fd00:12:0:13::/64']);
  });
});
