import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  folderOf,
  formatLeaseValue,
  type LeaseAttributes,
  leaseFolders,
  leaseKey,
  parseLeaseName,
  parseLeaseValue,
} from '../../../src/lease/lease-record.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { ip, prefix } from '../datapath/arbitraries.ts';
import { attributes } from './fixtures.ts';

const MALFORMED = expect.objectContaining({ code: 'malformed' });

describe("flannel's bytes", () => {
  test.each<[string, LeaseAttributes, string]>([
    ['udp', attributes('192.168.0.1'), '{"PublicIP":"192.168.0.1","PublicIPv6":null}'],
    [
      'host-gw',
      { ...attributes('192.168.0.1'), backendType: 'host-gw' },
      '{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"host-gw"}',
    ],
    [
      'vxlan',
      {
        backendData: { VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' },
        backendType: 'vxlan',
        ...attributes('192.168.64.3'),
      },
      '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    ],
    [
      'vxlan, dual stack',
      {
        ...attributes('192.168.64.3', 'FD00:0:0::3'),
        backendType: 'vxlan',
        backendV6Data: { VNI: 1, VtepMAC: 'da:07:14:ac:d3:e5' },
        backendData: { VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' },
      },
      '{"PublicIP":"192.168.64.3","PublicIPv6":"fd00::3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"},"BackendV6Data":{"VNI":1,"VtepMAC":"da:07:14:ac:d3:e5"}}',
    ],
    [
      'extension',
      { ...attributes('192.168.0.1'), backendType: 'extension', backendData: 'what it printed' },
      '{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"extension","BackendData":"what it printed"}',
    ],
  ])('%s', (_what, given, bytes) => {
    expect(formatLeaseValue(given)).toBe(bytes);
    expect(formatLeaseValue(parseLeaseValue(bytes))).toBe(bytes);
  });

  test.each<[string[], string]>([
    [['10.5.34.0/24'], '/coreos.com/network/subnets/10.5.34.0-24'],
    [['10.12.13.0/24', 'FD00:0012:0013::/56'], '/coreos.com/network/subnets/10.12.13.0-24&fd00:12:13::-56'],
    [['FD00:0012:0013::/56'], '/coreos.com/network/corduroy/subnets/fd00:12:13::-56'],
  ])('the key of %s', (subnets, key) => {
    expect(leaseKey('/coreos.com/network', subnets.map(Prefix.parse))).toBe(key);
  });
});

describe('what is written is read', () => {
  const v4 = prefix.filter(({ family }) => family === 4);
  const v6 = prefix.filter(({ family }) => family === 6);
  const subnets = fc.oneof(
    v4.map((one) => [one]),
    v6.map((one) => [one]),
    fc.tuple(v4, v6).map((both) => [...both]),
  );

  test('keys', () => {
    fc.assert(
      fc.property(subnets, (written) => {
        const key = leaseKey('/net', written);
        const family = folderOf(key, leaseFolders('/net'));
        const name = key.slice(key.lastIndexOf('/') + 1);
        expect(family && parseLeaseName(name, family).map(String)).toEqual(written.map(String));
      }),
    );
  });

  const ipv4 = ip.filter((one) => one.family === 4 && one.value > 0n);
  const ipv6 = ip.filter(({ family }) => family === 6);
  const data = fc.jsonValue().filter((value) => value !== null);
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const some = fc
    .tuple(ipv4, optional(ipv6), optional(fc.string({ minLength: 1 })), optional(data), optional(data))
    .map(
      ([publicIp, publicIpv6, backendType, backendData, backendV6Data]): LeaseAttributes => ({
        publicIp,
        publicIpv6,
        ...(backendType !== undefined && { backendType }),
        ...(backendData !== undefined && { backendData }),
        ...(backendV6Data !== undefined && { backendV6Data }),
      }),
    );

  test('values', () => {
    fc.assert(
      fc.property(some, (written) => {
        const text = formatLeaseValue(written);
        const read = parseLeaseValue(text);
        expect([read.publicIp, read.publicIpv6, read.backendType]).toEqual([
          written.publicIp,
          written.publicIpv6,
          written.backendType,
        ]);
        expect(formatLeaseValue(read)).toBe(text);
      }),
    );
  });

  test('a host with an IPv6 address alone: 0.0.0.0 stands for none', () => {
    const text = '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::3"}';
    expect(parseLeaseValue(text)).toEqual({ publicIp: undefined, publicIpv6: Ip.parse('fd00::3') });
    expect(formatLeaseValue(parseLeaseValue(text))).toBe(text);
  });
});

describe('what others write', () => {
  test('unknown keys are ignored, spaces allowed, an empty or null key is none', () => {
    const text = `{ "Colour": "red", "BackendData": null, "BackendType": "", "PublicIP": "10.0.0.1" }`;
    expect(parseLeaseValue(text)).toEqual(attributes('10.0.0.1'));
  });

  test.each([
    '',
    '10.5.34.0',
    '10.5.34.0/24',
    '10.5.34.0-',
    '10.5.34.0-33',
    '10.5.34.0-240',
    '10.5.34.7-24',
    '10.5.34.0-24/extra',
    '10.5.34.0-24&',
    '10.5.34.0-24&fd00::-129',
    '10.5.34.0-24&fd00::1-64',
    '10.5.34.0-24&10.6.0.0-24',
    '10.5.34.0-24&fd00::1::-64',
    ' 10.5.34.0-24',
    '10.5.34.0-24\n',
    '256.5.34.0-24',
    '010.5.34.0-24',
    'fd00::-64',
  ])('the key "%s" is malformed', (name) => {
    expect(() => parseLeaseName(name, 4)).toThrow(MALFORMED);
  });

  test.each(['10.5.34.0-24', 'fd00::-64&fd01::-64', 'fd00::1-64', '::ffff:10.5.0.0', 'fd00::-129', ''])(
    'among those of IPv6 alone, "%s" is malformed',
    (name) => {
      expect(() => parseLeaseName(name, 6)).toThrow(MALFORMED);
    },
  );

  test.each<[string, RegExp]>([
    ['', /not JSON/],
    ['{"PublicIP":', /not JSON/],
    ['null', /no JSON object/],
    ['"10.0.0.1"', /no JSON object/],
    ['[]', /neither PublicIP nor PublicIPv6/],
    ['{}', /neither PublicIP nor PublicIPv6/],
    ['{"PublicIP":null,"PublicIPv6":null}', /neither/],
    ['{"PublicIP":"0.0.0.0"}', /neither/],
    ['{"PublicIP":""}', /PublicIP is no IPv4 address/],
    ['{"PublicIP":"10.0.0.1/24"}', /PublicIP is no IPv4 address/],
    ['{"PublicIP":"fd00::1"}', /PublicIP is no IPv4 address/],
    ['{"PublicIP":167772161}', /PublicIP is no IPv4 address/],
    ['{"PublicIP":["10.0.0.1"]}', /PublicIP is no IPv4 address/],
    ['{"PublicIP":"10.0.0.1","PublicIPv6":"10.0.0.1"}', /PublicIPv6 is no IPv6 address/],
    ['{"PublicIP":"10.0.0.1","BackendType":7}', /BackendType is no string/],
  ])('the value %s is malformed', (text, reason) => {
    expect(() => parseLeaseValue(text)).toThrow(
      expect.objectContaining({ code: 'malformed', message: expect.stringMatching(reason) }),
    );
  });
});
