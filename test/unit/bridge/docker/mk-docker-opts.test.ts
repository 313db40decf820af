import { describe, expect, test } from 'vitest';
import { dockerOptions } from '../../../../src/bridge/docker/mk-docker-opts.ts';

const SUBNET_ENV =
  'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n';
const BOTH = { individual: true, combined: true, key: 'DOCKER_OPTS', omitIpMasq: false };

const BIP = 'DOCKER_OPT_BIP="--bip=10.1.74.1/24"\n';
const IPMASQ = 'DOCKER_OPT_IPMASQ="--ip-masq=true"\n';
const MTU = 'DOCKER_OPT_MTU="--mtu=1472"\n';
const OPTS = 'DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472"\n';
const OPTS_WITHOUT_MASQ = 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=1472"\n';

describe("mk-docker-opts' output, byte for byte", () => {
  test.each<[string, Partial<typeof BOTH>, string]>([
    ['neither -i nor -c, or both', {}, BIP + IPMASQ + MTU + OPTS],
    ['-i', { combined: false }, BIP + IPMASQ + MTU],
    ['-c', { individual: false }, OPTS],
    ['-m', { omitIpMasq: true }, BIP + MTU + OPTS_WITHOUT_MASQ],
    ['-i -m', { combined: false, omitIpMasq: true }, BIP + MTU],
    ['-c -m', { individual: false, omitIpMasq: true }, OPTS_WITHOUT_MASQ],
    [
      '-k DOCKER_NETWORK_OPTIONS',
      { key: 'DOCKER_NETWORK_OPTIONS' },
      BIP + IPMASQ + MTU + OPTS.replace('DOCKER_OPTS', 'DOCKER_NETWORK_OPTIONS'),
    ],
    ['-k X -i', { key: 'X', combined: false }, BIP + IPMASQ + MTU],
    [
      '-k X -c -m',
      { key: 'X', individual: false, omitIpMasq: true },
      OPTS_WITHOUT_MASQ.replace('DOCKER_OPTS', 'X'),
    ],
  ])('%s', (_what, form, expected) => {
    expect(dockerOptions(SUBNET_ENV, { ...BOTH, ...form })).toBe(expected);
  });

  test('IPv6 comes after what flannel prints', () => {
    const dual = `${SUBNET_ENV}FLANNEL_IPV6_SUBNET=fd00:74::1/64\n`;
    expect(dockerOptions(dual, BOTH)).toBe(
      `${BIP}${IPMASQ}${MTU}DOCKER_OPT_IPV6="--ipv6"\nDOCKER_OPT_FIXED_CIDR_V6="--fixed-cidr-v6=fd00:74::/64"\n` +
        'DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 --ipv6 --fixed-cidr-v6=fd00:74::/64"\n',
    );
    const only = 'FLANNEL_IPV6_SUBNET=fd00:74::1/64\nFLANNEL_MTU=1452\nFLANNEL_IPMASQ=true\n';
    expect(dockerOptions(only, { ...BOTH, individual: false })).toBe(
      'DOCKER_OPTS=" --ip-masq=false --mtu=1452 --ipv6 --fixed-cidr-v6=fd00:74::/64"\n',
    );
    expect(() => dockerOptions('FLANNEL_IPV6_SUBNET=fd00::1/64 -H\n', BOTH)).toThrow(/which cannot be/);
  });

  test('Docker masquerades exactly when the overlay does not', () => {
    const masquerading = SUBNET_ENV.replace('IPMASQ=false', 'IPMASQ=true');
    expect(dockerOptions(masquerading, BOTH)).toBe(
      `${BIP}DOCKER_OPT_IPMASQ="--ip-masq=false"\n${MTU}DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=false --mtu=1472"\n`,
    );
  });

  test.each([
    ['an empty file', '', 'DOCKER_OPTS=""\n'],
    ['a file without a subnet', 'FLANNEL_MTU=1472\n', `${MTU}DOCKER_OPTS=" --mtu=1472"\n`],
    ['empty variables', 'FLANNEL_SUBNET=\nFLANNEL_MTU=\nFLANNEL_IPMASQ=\n', 'DOCKER_OPTS=""\n'],
  ])('%s', (_what, text, expected) => {
    expect(dockerOptions(text, BOTH)).toBe(expected);
  });
});
