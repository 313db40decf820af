import { describe, expect, test } from 'vitest';
import { contradictingKeys, leaseKeys, mergeDaemonJson } from '../../../../src/bridge/docker/daemon-json.ts';
import { dockerEnvironment, knowsDirectRouting } from '../../../../src/bridge/docker/dockerd.ts';
import { dockerSettingsIn } from '../../../../src/bridge/docker/settings.ts';
import { requireSettings } from './fixtures.ts';

const settings = requireSettings('10.5.72.1/24');
const PATH = '/etc/docker/daemon.json';

describe("dockerd's configuration file", () => {
  test('gets the lease, and keeps everything else', () => {
    const text = '{\n\t"log-driver": "journald",\n\t"mtu": 1500,\n\t"dns": ["10.0.0.1", "10.0.0.2"]\n}\n';
    expect(mergeDaemonJson(text, PATH, leaseKeys(settings))).toBe(
      '{\n\t"log-driver": "journald",\n\t"mtu": 1472,\n\t"dns": ["10.0.0.1", "10.0.0.2"],\n\t"bip": "10.5.72.1/24",\n\t"ip-masq": false\n}\n',
    );
  });

  test('gets both families, or IPv6 alone', () => {
    expect(leaseKeys(requireSettings('10.5.72.1/24', 'fd00:72::1/64'))).toEqual({
      bip: '10.5.72.1/24',
      mtu: 1472,
      'ip-masq': false,
      ipv6: true,
      'fixed-cidr-v6': 'fd00:72::/64',
    });
    expect(leaseKeys(requireSettings(undefined, 'fd00:72::1/64'))).not.toHaveProperty('bip');
  });

  test.each([
    [{ bip6: 'fd99::1/64' }, ['bip6']],
    [{ 'default-gateway-v6': 'fd99::1', bridge: 'br0' }, ['bridge', 'default-gateway-v6']],
  ])('what contradicts an IPv6 subnet does so only where there is one: %j', (document, keys) => {
    expect(contradictingKeys(document, true)).toEqual(keys);
    expect(contradictingKeys(document, false)).toEqual(keys.filter((key) => key === 'bridge'));
  });

  test.each([
    ['no file', undefined],
    ['an empty one', '\n'],
  ])('%s', (_what, text) => {
    expect(JSON.parse(mergeDaemonJson(text, PATH, leaseKeys(settings)))).toEqual({
      bip: '10.5.72.1/24',
      mtu: 1472,
      'ip-masq': false,
    });
  });

  test.each(['{"registry": "http://user:secret@', '[]', 'null', '"bip"', '{"a": 1}{'])(
    '%s is refused, and not quoted',
    (text) => {
      expect(() => mergeDaemonJson(text, PATH, {})).toThrow(/^\/etc\/docker\/daemon\.json .*left as it is/);
      expect(() => mergeDaemonJson(text, PATH, {})).not.toThrow(/secret/);
    },
  );
});

describe('the options for one start of dockerd', () => {
  const environment = (daemonJson: object, directRouting = false) =>
    dockerEnvironment({ settings, directRouting, daemonJson: { ...daemonJson } });

  test('all of them', () => {
    expect(environment({ debug: true })).toBe(
      'DOCKER_NETWORK_OPTIONS="--bip=10.5.72.1/24 --ip-masq=false --mtu=1472"\n',
    );
  });

  test('with IPv6', () => {
    const of = (daemonJson: object, ...bips: [string | undefined, string]) =>
      dockerEnvironment({
        settings: requireSettings(...bips),
        directRouting: false,
        daemonJson: { ...daemonJson },
      });
    expect(of({}, '10.5.72.1/24', 'fd00:72::1/64')).toBe(
      'DOCKER_NETWORK_OPTIONS="--bip=10.5.72.1/24 --ip-masq=false --mtu=1472 --ipv6 --fixed-cidr-v6=fd00:72::/64"\n',
    );
    expect(of({}, undefined, 'fd00:72::1/64')).toBe(
      'DOCKER_NETWORK_OPTIONS="--ip-masq=false --mtu=1472 --ipv6 --fixed-cidr-v6=fd00:72::/64"\n',
    );
    expect(of({ ipv6: true }, undefined, 'fd00:72::1/64')).not.toContain('--ipv6 ');
    // What an operator has of IPv6 where the network has none stays his.
    expect(environment({ ipv6: true, 'fixed-cidr-v6': 'fd99::/64' })).toContain('--bip=10.5.72.1/24');
  });

  test('a dockerd that filters is told not to', () => {
    expect(environment({}, true)).toContain(' --allow-direct-routing"');
    expect(environment({ 'allow-direct-routing': true }, true)).not.toContain('direct');
  });

  test.each<[string, object, string]>([
    ['bip', { bip: '192.0.2.1/24' }, '--ip-masq=false --mtu=1472'],
    ['all', { bip: '192.0.2.1/24', mtu: 1, 'ip-masq': true }, ''],
    ['another bridge', { bridge: 'br0' }, '--ip-masq=false --mtu=1472'],
  ])('what the file sets is left out, or dockerd would not start: %s', (_what, daemonJson, options) => {
    expect(environment(daemonJson)).toBe(`DOCKER_NETWORK_OPTIONS="${options}"\n`);
  });

  test('a dockerd that is not there needs nothing', async () => {
    expect(await knowsDirectRouting('/nonexistent/dockerd')).toBe(false);
  });
});

test.each([
  '',
  'FLANNEL_SUBNET=10.5.72.1/24\n',
  'FLANNEL_SUBNET=x\nFLANNEL_MTU=1472\n',
  'FLANNEL_MTU=1472\n',
])('a subnet.env of %j says nothing to Docker', (text) => {
  expect(dockerSettingsIn(text)).toBeUndefined();
});
