import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatSubnetEnv, gateway, parseEnv, subnetsIn } from '../../../src/bridge/subnet-env.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const family = (network: string, subnet: string) => ({
  network: Prefix.parse(network),
  subnet: Prefix.parse(subnet),
});
const V4 = family('10.5.0.0/16', '10.5.72.0/24');
const V6 = family('fd00:12::/48', 'fd00:12:0:13::/64');

describe("subnet.env, flannel's byte for byte", () => {
  test('IPv4', () => {
    expect(formatSubnetEnv({ families: [V4], mtu: 1472, ipMasq: true })).toBe(
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n',
    );
  });

  test('dual stack', () => {
    expect(formatSubnetEnv({ families: [V4, V6], mtu: 1450, ipMasq: false })).toBe(
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\n' +
        'FLANNEL_IPV6_NETWORK=fd00:12::/48\nFLANNEL_IPV6_SUBNET=fd00:12:0:13::1/64\n' +
        'FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
    );
  });

  test.each([[[V4]], [[V6]], [[V4, V6]]])('the subnets are found in it again', (families) => {
    const text = formatSubnetEnv({ families, mtu: 1472, ipMasq: true });
    expect(subnetsIn(text).map(String)).toEqual(families.map(({ subnet }) => String(subnet)));
  });
});

test("the gateway is the subnet's first address after its own", () => {
  expect([gateway(V4.subnet), gateway(V6.subnet)].map(String)).toEqual(['10.5.72.1', 'fd00:12:0:13::1']);
});

describe("reading others' files", () => {
  test('spaces, other lines, line ends of Windows, and the last of two lines', () => {
    const text =
      '# FLANNEL_MTU=1\n  FLANNEL_MTU=1400\r\nnonsense\nFLANNEL_MTU=1500 \nlower=x\nEMPTY=\nA=b=c\n';
    expect(Object.fromEntries(parseEnv(text))).toEqual({ FLANNEL_MTU: '1500', EMPTY: '', A: 'b=c' });
  });

  test.each([
    ['', []],
    ['FLANNEL_SUBNET=10.5.72.1/24', ['10.5.72.0/24']],
    ['FLANNEL_SUBNET=10.5.72.0/24', ['10.5.72.0/24']],
    ['FLANNEL_IPV6_SUBNET=fd00::1/64\nFLANNEL_SUBNET=10.5.72.1/24', ['10.5.72.0/24', 'fd00::/64']],
    ['FLANNEL_SUBNET=', []],
    ['FLANNEL_SUBNET=10.5.72.1', []],
    ['FLANNEL_SUBNET=/24', []],
    ['FLANNEL_SUBNET=10.5.72.1/', []],
    ['FLANNEL_SUBNET=10.5.72.1/33', []],
    ['FLANNEL_SUBNET=10.5.72.1/-1', []],
    ['FLANNEL_SUBNET=10.5.72.1/24.5', []],
    ['FLANNEL_SUBNET=10.5.72.1/x', []],
    ['FLANNEL_SUBNET=10.5.72.256/24', []],
    ['FLANNEL_SUBNET="10.5.72.1/24"', []],
    ['FLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_IPV6_SUBNET=rubbish/64', []],
  ])('the subnets in %j', (text, expected) => {
    expect(subnetsIn(text).map(String)).toEqual(expected);
  });

  test('no file whatsoever is an error', () => {
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9.:a-f/]{0,40}$/));
    fc.assert(
      fc.property(value, value, (one, other) => {
        for (const subnet of subnetsIn(`FLANNEL_SUBNET=${one}\nFLANNEL_IPV6_SUBNET=${other}\n`)) {
          expect(Prefix.parse(subnet.toString()).equals(subnet)).toBe(true);
        }
      }),
    );
  });
});
