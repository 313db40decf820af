import { describe, expect, test } from 'vitest';
import { bridgeDrift, otherBridgeAddress } from '../../../../src/bridge/docker/bridge-drift.ts';
import type { DockerNetwork } from '../../../../src/bridge/docker/docker-api.ts';
import { networkNames, planNetwork, wantedNetwork } from '../../../../src/bridge/docker/network-plan.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { requireSettings } from './fixtures.ts';

const NAMES = networkNames('corduroy', '', 'corduroy');
const OLD = { major: 1, minor: 41 };
const wanted = wantedNetwork(requireSettings('10.5.72.1/24'), NAMES, OLD);
/** As Docker shows a network that was made as wanted. */
const made = (change: Partial<DockerNetwork> = {}, as = wanted): DockerNetwork => ({
  Id: '1a2b',
  Name: as.name,
  Driver: 'bridge',
  EnableIPv6: as.pools.some(({ subnet }) => subnet.includes(':')),
  IPAM: { Config: as.pools.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })) },
  Options: { ...as.options },
  Labels: { ...as.labels },
  ...change,
});

describe('the network of --docker=network', () => {
  test('is not masqueraded, and has the MTU of the overlay', () => {
    expect(wanted).toEqual({
      name: 'corduroy',
      pools: [{ subnet: '10.5.72.0/24', gateway: '10.5.72.1' }],
      options: {
        'com.docker.network.bridge.name': 'corduroy-docker',
        'com.docker.network.bridge.enable_ip_masquerade': 'false',
        'com.docker.network.driver.mtu': '1472',
      },
      labels: { 'corduroy.instance': 'corduroy' },
    });
  });

  test.each([
    [{ major: 1, minor: 47 }, undefined],
    [{ major: 1, minor: 48 }, 'nat-unprotected'],
    [{ major: 1, minor: 52 }, 'nat-unprotected'],
    [{ major: 2, minor: 0 }, 'nat-unprotected'],
  ])('a Docker that filters what other hosts send is told not to: API %j', (api, mode) => {
    const { options } = wantedNetwork(requireSettings('10.5.72.1/24'), NAMES, api);
    expect(options['com.docker.network.bridge.gateway_mode_ipv4']).toBe(mode);
  });

  describe('with IPv6', () => {
    const both = wantedNetwork(requireSettings('10.5.72.1/24', 'fd00:72::1/64'), NAMES, OLD);
    const only = wantedNetwork(requireSettings(undefined, 'fd00:72::1/64'), NAMES, OLD);
    const IPV6 = { Subnet: 'fd00:72::/64', Gateway: 'fd00:72::1' };
    const IPV4 = { Subnet: '10.5.72.0/24', Gateway: '10.5.72.1' };

    test('has a pool a family, and is told of both not to filter', () => {
      expect(both.pools.map(({ subnet }) => subnet)).toEqual(['10.5.72.0/24', 'fd00:72::/64']);
      const now = wantedNetwork(requireSettings(undefined, 'fd00:72::1/64'), NAMES, { major: 1, minor: 48 });
      expect(now.options).toMatchObject({ 'com.docker.network.bridge.gateway_mode_ipv6': 'nat-unprotected' });
      expect(now.options).not.toHaveProperty(['com.docker.network.bridge.gateway_mode_ipv4']);
    });

    test.each<[string, typeof both, Partial<DockerNetwork>, string]>([
      ['both', both, {}, ''],
      ['both, in the other order', both, { IPAM: { Config: [IPV6, IPV4] } }, ''],
      [
        'only IPv4 until now',
        both,
        { EnableIPv6: false, IPAM: { Config: [IPV4] } },
        'IPv6 subnet unset in place of fd00:72::/64, IPv6 gateway unset in place of fd00:72::1, IPv6 off in place of on',
      ],
      [
        'another IPv6 subnet',
        both,
        { IPAM: { Config: [IPV4, { ...IPV6, Subnet: 'fd00:9::/64' }] } },
        'IPv6 subnet fd00:9::/64 in place of fd00:72::/64',
      ],
      [
        'IPv6 until now',
        wanted,
        { EnableIPv6: true, IPAM: { Config: [IPV4, IPV6] } },
        'IPv6 on in place of off',
      ],
      [
        "IPv6 only: Docker's own IPv4 does not count",
        only,
        { IPAM: { Config: [{ Subnet: '172.20.0.0/16' }, IPV6] } },
        '',
      ],
    ])('%s', (_what, wish, change, why) => {
      const network = made(change, wish);
      expect(planNetwork(wish, [network], [])).toEqual(
        why === '' ? { kind: 'keep' } : { kind: 'replace', network, why },
      );
    });
  });

  test.each(['', 'a', 'abcdefghij'])('the bridge of instance "%s" fits into the kernel', (instance) => {
    expect(networkNames('x', instance, 'y').bridge.length).toBeLessThanOrEqual(15);
  });

  test('there is none: it is made', () => {
    expect(planNetwork(wanted, [], [])).toEqual({ kind: 'create' });
  });

  test('it is right: it is kept, whatever else Docker says of it', () => {
    const network = made({
      Options: { ...wanted.options, 'com.docker.network.enable_ipv4': 'true' },
      Labels: { ...wanted.labels, mine: 'yes' },
    });
    expect(planNetwork(wanted, [network], ['web'])).toEqual({ kind: 'keep' });
  });

  test.each<[string, Partial<DockerNetwork>, string]>([
    [
      'another subnet',
      { IPAM: { Config: [{ Subnet: '10.5.9.0/24', Gateway: '10.5.72.1' }] } },
      'subnet 10.5.9.0/24 in place of 10.5.72.0/24',
    ],
    [
      'another gateway',
      { IPAM: { Config: [{ Subnet: '10.5.72.0/24' }] } },
      'gateway unset in place of 10.5.72.1',
    ],
    [
      'none at all',
      { IPAM: { Config: null } },
      'subnet unset in place of 10.5.72.0/24, gateway unset in place of 10.5.72.1',
    ],
    [
      'another MTU',
      { Options: { ...wanted.options, 'com.docker.network.driver.mtu': '1400' } },
      'MTU 1400 in place of 1472',
    ],
    [
      'masqueraded',
      { Options: { ...wanted.options, 'com.docker.network.bridge.enable_ip_masquerade': 'true' } },
      'masquerading true in place of false',
    ],
  ])('it is not right (%s): made anew, unless containers are attached', (_what, change, why) => {
    const network = made(change);
    expect(planNetwork(wanted, [network], [])).toEqual({ kind: 'replace', network, why });
    const plan = planNetwork(wanted, [network], ['web', 'db']);
    expect(plan).toEqual({
      kind: 'leave',
      problem: expect.stringContaining(
        `has ${why}, and containers are attached to it (web, db): detach each (docker network disconnect --force corduroy web)`,
      ),
    });
  });

  test('Docker was upgraded to one that filters: made anew', () => {
    const now = wantedNetwork(requireSettings('10.5.72.1/24'), NAMES, { major: 1, minor: 48 });
    expect(planNetwork(now, [made()], [])).toMatchObject({
      kind: 'replace',
      why: 'gateway mode unset in place of nat-unprotected',
    });
  });

  test.each<[string, DockerNetwork[]]>([
    ["somebody else's", [made({ Labels: {} })]],
    ['without labels', [made({ Labels: null })]],
    ["another instance's", [made({ Labels: { 'corduroy.instance': 'corduroy-lab' } })]],
    ['of another driver', [made({ Driver: 'macvlan' })]],
    ['two of one name', [made(), made({ Id: '3c4d', Labels: {} })]],
  ])('%s is never touched, though it is not right and nothing is attached', (_what, found) => {
    const wrong = found.map((network) => ({ ...network, IPAM: { Config: [] } }));
    expect(planNetwork(wanted, wrong, [])).toEqual({
      kind: 'leave',
      problem: expect.stringMatching(
        /not made, and it is left as it is: docker network rm corduroy, or .*--docker-network/,
      ),
    });
  });
});

describe('docker0 against the lease', () => {
  const settings = requireSettings('10.5.3.1/24');

  test.each<[string, string[], number | undefined, string | undefined]>([
    ['the same', ['10.5.3.1/24'], 1472, undefined],
    ['Docker did not say', ['10.5.3.1/24'], undefined, undefined],
    ['others beside it', ['192.0.2.1/24', '10.5.3.1/24'], 1472, undefined],
    ["Docker's own", ['172.17.0.1/16'], 1500, "docker0 has 172.17.0.1/16, this host's subnet is 10.5.3.1/24"],
    ['another length', ['10.5.3.1/16'], 1472, "docker0 has 10.5.3.1/16, this host's subnet is 10.5.3.1/24"],
    ['none', [], 1472, "docker0 has no address, this host's subnet is 10.5.3.1/24"],
    [
      'another MTU',
      ['10.5.3.1/24'],
      1500,
      "Docker gives containers of docker0 an MTU of 1500, the overlay's is 1472",
    ],
  ])('%s', (_what, addresses, mtu, drift) => {
    expect(bridgeDrift(settings, { addresses, mtu })).toBe(drift);
  });
});

describe('docker0 against a lease with IPv6', () => {
  const both = requireSettings('10.5.3.1/24', 'fd00:3::1/64');
  const only = requireSettings(undefined, 'fd00:3::1/64');

  test.each<[string, typeof both, string[], string | undefined]>([
    ['both', both, ['10.5.3.1/24', 'fd00:3::1/64'], undefined],
    [
      'without IPv6',
      both,
      ['10.5.3.1/24'],
      "docker0 has 10.5.3.1/24, this host's subnets are 10.5.3.1/24 and fd00:3::1/64",
    ],
    ["IPv6 only, beside Docker's IPv4", only, ['172.17.0.1/16', 'fd00:3::1/64'], undefined],
    [
      'IPv6 only, missing',
      only,
      ['172.17.0.1/16'],
      "docker0 has no address, this host's subnet is fd00:3::1/64",
    ],
    [
      "IPv4 only: an IPv6 address of its own is nobody else's concern",
      requireSettings('10.5.3.1/24'),
      ['172.17.0.1/16', 'fd00:9::1/64'],
      "docker0 has 172.17.0.1/16, this host's subnet is 10.5.3.1/24",
    ],
  ])('%s', (_what, settings, addresses, drift) => {
    expect(bridgeDrift(settings, { addresses, mtu: 1472 })).toBe(drift);
  });
});

test.each([
  [[], '172.17.0.1/16'],
  [['10.244.1.0/24', '172.17.0.0/16'], '172.18.0.1/16'],
  [['172.17.3.0/24', '172.16.0.0/12'], '172.17.0.1/16'],
  [['172.18.0.1/32', '172.17.0.0/17', 'fd00::/64'], '172.19.0.1/16'],
])('docker0 moves out of the way of %j to %s', (taken, address) => {
  expect(otherBridgeAddress(taken.map(Prefix.parse))).toBe(address);
});
