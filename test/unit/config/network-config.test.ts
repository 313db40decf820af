import { describe, expect, test } from 'vitest';
import { formatProblem, networkConfigError, parseNetworkConfig } from '../../../src/config/network-config.ts';

const parse = (document: object) => parseNetworkConfig(JSON.stringify(document));

/** `NETWORK MIN MAX /LENGTH` of each range. */
function rangesOf(document: object): string[] {
  const { value, problems } = parse(document);
  expect(problems).toEqual([]);
  return (value?.ranges ?? []).map(
    ({ network, subnetMin, subnetMax, subnetLen }) => `${network} ${subnetMin} ${subnetMax} /${subnetLen}`,
  );
}

describe('ranges', () => {
  test.each<[object, string]>([
    [{ Network: '10.5.0.0/16' }, '10.5.0.0/16 10.5.1.0 10.5.255.0 /24'],
    [{ Network: '10.0.0.0/8' }, '10.0.0.0/8 10.0.1.0 10.255.255.0 /24'],
    [{ Network: '10.5.0.0/22' }, '10.5.0.0/22 10.5.1.0 10.5.3.0 /24'],
    [{ Network: '10.5.0.0/23' }, '10.5.0.0/23 10.5.0.128 10.5.1.128 /25'],
    [{ Network: '10.5.0.0/28' }, '10.5.0.0/28 10.5.0.4 10.5.0.12 /30'],
    [{ Network: '10.5.0.0/16', SubnetLen: 30 }, '10.5.0.0/16 10.5.0.4 10.5.255.252 /30'],
    [{ Network: '10.5.0.0/16', SubnetLen: 18 }, '10.5.0.0/16 10.5.64.0 10.5.192.0 /18'],
    [
      { Network: '10.5.0.0/16', SubnetMin: '10.5.0.0', SubnetMax: '10.5.0.0' },
      '10.5.0.0/16 10.5.0.0 10.5.0.0 /24',
    ],
    [
      { Network: '10.5.0.0/16', SubnetLen: 28, SubnetMin: '10.5.7.16', SubnetMax: '10.5.7.32' },
      '10.5.0.0/16 10.5.7.16 10.5.7.32 /28',
    ],
    [{ network: '10.5.0.0/16', SUBNETLEN: 25, enableipv4: true }, '10.5.0.0/16 10.5.0.128 10.5.255.128 /25'],
    [{ Network: '10.5.0.0/16', SubnetLen: null, SubnetMin: null }, '10.5.0.0/16 10.5.1.0 10.5.255.0 /24'],
  ])('%o', (document, expected) => {
    expect(rangesOf(document)).toEqual([expected]);
  });

  test.each<[object, string]>([
    [{ IPv6Network: 'fd00::/48' }, 'fd00::/48 fd00:0:0:1:: fd00:0:0:ffff:: /64'],
    [{ IPv6Network: 'fd00::/62' }, 'fd00::/62 fd00:0:0:1:: fd00:0:0:3:: /64'],
    [{ IPv6Network: 'fd00::/63' }, 'fd00::/63 fd00::8000:0:0:0 fd00:0:0:1:8000:: /65'],
    [{ IPv6Network: 'fd00::/124' }, 'fd00::/124 fd00::4 fd00::c /126'],
    [{ IPv6Network: 'fd00::/48', IPv6SubnetLen: 56 }, 'fd00::/48 fd00:0:0:100:: fd00:0:0:ff00:: /56'],
    [
      { ipv6network: 'fd00::/48', IPv6SubnetMin: 'fd00:0:0:2::', IPv6SubnetMax: 'fd00::9:0:0:0:0' },
      'fd00::/48 fd00:0:0:2:: fd00:0:0:9:: /64',
    ],
  ])('%o', (document, expected) => {
    expect(rangesOf({ EnableIPv4: false, EnableIPv6: true, ...document })).toEqual([expected]);
  });

  test('both families, IPv4 first; what belongs to a family that is off is not looked at', () => {
    const both = { IPv6Network: 'fd00::/48', Network: '10.5.0.0/16' };
    expect(rangesOf({ ...both, EnableIPv6: true }).map((text) => text.split(' ')[0])).toEqual([
      '10.5.0.0/16',
      'fd00::/48',
    ]);
    expect(rangesOf({ ...both, IPv6SubnetLen: 'x' })).toHaveLength(1);
  });

  test("what flannel's own structure says for “not given” is not given: length 0, and the address 0.0.0.0", () => {
    const document = { Network: '10.5.0.0/16', SubnetLen: 0, SubnetMin: '0.0.0.0', SubnetMax: '0.0.0.0' };
    expect(rangesOf(document)).toEqual(['10.5.0.0/16 10.5.1.0 10.5.255.0 /24']);
  });
});

describe('a document that breaks a rule: key, value and rule are named', () => {
  const v6 = { EnableIPv4: false, EnableIPv6: true };
  const v4Network = { Network: '10.5.0.0/16' };
  const v6Network = { ...v6, IPv6Network: 'fd00::/48' };
  test.each<[object, string | RegExp]>([
    [{}, 'Network is missing: name the range of IPv4 addresses, in CIDR form'],
    [{ Network: null }, 'Network is missing: name the range of IPv4 addresses, in CIDR form'],
    [v6, 'IPv6Network is missing: name the range of IPv6 addresses, in CIDR form'],
    [{ EnableIPv4: false }, 'EnableIPv4 is false: at least one of EnableIPv4 and EnableIPv6 has to be true'],
    [{ ...v4Network, EnableIPv4: 'yes' }, 'EnableIPv4 is "yes": has to be true or false'],
    [{ ...v4Network, EnableIPv6: 1 }, 'EnableIPv6 is 1: has to be true or false'],
    [{ ...v4Network, EnableNFTables: 'on' }, 'EnableNFTables is "on": has to be true or false'],
    [{ Network: 5 }, 'Network is 5: has to be a string'],
    [{ Network: '10.5.0.0' }, /^Network is "10\.5\.0\.0": .*is not a network in CIDR form/],
    [{ Network: 'fd00::/48' }, 'Network is "fd00::/48": has to be an IPv4 network'],
    [{ ...v6, IPv6Network: '10.5.0.0/16' }, 'IPv6Network is "10.5.0.0/16": has to be an IPv6 network'],
    [{ Network: '10.5.0.0/29' }, 'Network is "10.5.0.0/29": may be no smaller than a /28'],
    [{ ...v6, IPv6Network: 'fd00::/125' }, 'IPv6Network is "fd00::/125": may be no smaller than a /124'],
    ...['0.0.0.0/16', '127.0.0.0/8', '224.5.0.0/16', '239.0.0.0/16'].map((Network): [object, RegExp] => [
      { Network },
      /^Network is ".*": lies in .*, which is for .*: take another, such as 10\.5\.0\.0\/16$/,
    ]),
    ...['fe80::/48', 'ff05::/48', '::1/112'].map((IPv6Network): [object, RegExp] => [
      { ...v6, IPv6Network },
      /^IPv6Network is ".*": lies in .*, which is for .*: take another, such as fd00:10:5::\/48$/,
    ]),
    [{ ...v4Network, SubnetLen: 31 }, 'SubnetLen is 31: has to be below 31'],
    [{ ...v4Network, SubnetLen: '24' }, 'SubnetLen is "24": has to be a whole number'],
    [{ ...v4Network, SubnetLen: 24.5 }, 'SubnetLen is 24.5: has to be a whole number'],
    [{ ...v4Network, SubnetLen: -1 }, 'SubnetLen is -1: has to be a whole number'],
    [{ ...v4Network, SubnetLen: 1e300 }, 'SubnetLen is 1e+300: has to be a whole number'],
    [
      { ...v4Network, SubnetLen: 17 },
      'SubnetLen is 17: leaves fewer than four subnets of 10.5.0.0/16: it has to be at least 18',
    ],
    [{ ...v6Network, IPv6SubnetLen: 127 }, 'IPv6SubnetLen is 127: has to be below 127'],
    [
      { ...v6Network, IPv6SubnetLen: 49 },
      'IPv6SubnetLen is 49: leaves fewer than four subnets of fd00::/48: it has to be at least 50',
    ],
    [{ ...v4Network, SubnetMin: '10.6.0.0' }, 'SubnetMin is "10.6.0.0": has to lie in 10.5.0.0/16'],
    [{ ...v4Network, SubnetMax: '10.4.255.0' }, 'SubnetMax is "10.4.255.0": has to lie in 10.5.0.0/16'],
    [
      { ...v4Network, SubnetMin: '10.5.1.1' },
      'SubnetMin is "10.5.1.1": has to be the first address of a /24: 10.5.1.0 is one',
    ],
    [
      { ...v4Network, SubnetMax: '10.5.9.128' },
      'SubnetMax is "10.5.9.128": has to be the first address of a /24: 10.5.9.0 is one',
    ],
    [{ ...v4Network, SubnetMin: 'x' }, /^SubnetMin is "x": .*is not an IP address/],
    [{ ...v4Network, SubnetMin: 'fd00::' }, 'SubnetMin is "fd00::": has to lie in 10.5.0.0/16'],
    [
      { ...v4Network, SubnetMin: '10.5.9.0', SubnetMax: '10.5.8.0' },
      'SubnetMin is "10.5.9.0": has to be at or below SubnetMax, 10.5.8.0',
    ],
    [{ ...v6Network, IPv6SubnetMin: 'fd01::' }, 'IPv6SubnetMin is "fd01::": has to lie in fd00::/48'],
    [
      { ...v6Network, IPv6SubnetMax: 'fd00::1' },
      'IPv6SubnetMax is "fd00::1": has to be the first address of a /64: fd00:: is one',
    ],
    [{ ...v4Network, Backend: 'udp' }, 'Backend is "udp": has to be an object such as {"Type": "udp"}'],
    [{ ...v4Network, Backend: [] }, 'Backend is []: has to be an object such as {"Type": "udp"}'],
    [{ ...v4Network, Backend: { Type: 7 } }, 'Backend.Type is 7: has to be a string'],
  ])('%o', (document, expected) => {
    const { value, problems } = parse(document);
    const matcher = expected instanceof RegExp ? expect.stringMatching(expected) : expected;
    expect(problems.map(formatProblem)).toEqual([matcher]);
    expect(value).toBeUndefined();
  });

  test('all of them, not only the first', () => {
    const { problems } = parse({ Network: '10.5.0.0/16', SubnetMin: 'x', SubnetMax: 'y', Backend: 1 });
    expect(problems.map(({ key }) => key)).toEqual(['SubnetMin', 'SubnetMax', 'Backend']);
    expect(networkConfigError('/net/config', problems)).toMatchObject({
      code: 'network-config',
      message: expect.stringMatching(
        /^\/net\/config is not valid: SubnetMin is .*; SubnetMax is .*; Backend is /,
      ),
    });
  });
});

describe('Backend', () => {
  test.each<[unknown, string]>([
    [undefined, 'udp'],
    [null, 'udp'],
    [{}, 'udp'],
    [{ Type: 'UDP' }, 'udp'],
    [{ type: 'Host-GW' }, 'host-gw'],
  ])('%o is %s', (backend, type) => {
    expect(parse({ Network: '10.5.0.0/16', Backend: backend }).value?.backend.type).toBe(type);
  });

  test('its options are handed on, keys case-insensitive', () => {
    const options = parse({ Network: '10.5.0.0/16', Backend: { Type: 'udp', pORT: 9 } }).value?.backend
      .options;
    expect(options?.get('Port')).toBe(9);
    expect(options?.keysBut(['Type'])).toEqual(['Backend.pORT']);
  });
});

test('of a key that stands there twice the last one counts, as in Go; the others are named', () => {
  const { value, unknownKeys } = parse({ Network: '10.5.0.0/16', network: '10.6.0.0/16' });
  expect([String(value?.ranges[0]?.network), unknownKeys]).toEqual([
    '10.6.0.0/16',
    ['Network (network comes later and counts)'],
  ]);
});

test('the network of a family that is not enabled is named, and does no harm', () => {
  const v4 = { Network: '10.5.0.0/16' };
  const v6 = { IPv6Network: 'fd00::/48' };
  expect(parse({ ...v4, ...v6 })).toMatchObject({
    problems: [],
    unknownKeys: ['IPv6Network (EnableIPv6 is not true)'],
  });
  expect(parse({ ...v4, ...v6, EnableIPv6: true }).unknownKeys).toEqual([]);
  expect(parse({ ...v4, ...v6, EnableIPv6: true, EnableIPv4: false }).unknownKeys).toEqual([
    'Network (EnableIPv4 is not true)',
  ]);
});

test('unknown keys are named as they are spelt, and do no harm', () => {
  const document = { Network: '10.5.0.0/16', subnetlen: 24, Subnetlength: 24, Note: null };
  expect(parse(document)).toMatchObject({ problems: [], unknownKeys: ['Subnetlength', 'Note'] });
});
