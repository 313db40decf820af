import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';

const v4 = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => Ip.of(4, value));
const v6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => Ip.of(6, value));
/** With runs of zeros, which is where the text of IPv6 is difficult. */
const sparseV6 = fc
  .array(fc.constantFrom<bigint>(0n, 0n, 0n, 1n, 0xabcdn), { minLength: 8, maxLength: 8 })
  .map((groups) =>
    Ip.of(
      6,
      groups.reduce((value, group) => (value << 16n) | group, 0n),
    ),
  );
const anyIp = fc.oneof(v4, v6, sparseV6);

describe('Ip', () => {
  test('text and bytes come back as the same address', () => {
    fc.assert(
      fc.property(anyIp, (ip) => {
        expect(Ip.parse(ip.toString()).equals(ip)).toBe(true);
        expect(Ip.fromBytes(ip.family, ip.toBytes()).equals(ip)).toBe(true);
        const padded = Buffer.concat([Buffer.alloc(3, 0xff), ip.toBytes(), Buffer.alloc(3, 0xff)]);
        expect(Ip.fromBytes(ip.family, padded, 3).equals(ip)).toBe(true);
      }),
    );
  });

  test('the text of IPv6 is that of the URL standard, which follows RFC 5952', () => {
    fc.assert(
      fc.property(fc.oneof(v6, sparseV6), (ip) => {
        expect(isIPv6(ip.toString())).toBe(true);
        expect(`[${ip}]`).toBe(new URL(`http://[${ip}]/`).hostname);
      }),
    );
  });

  test.each([
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], // one group of zeros is not shortened
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], // the longest run
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], // the first of equal runs
    ['::', '::'],
    ['1::', '1::'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ])('%s is written %s', (text, canonical) => {
    expect(Ip.parse(text).toString()).toBe(canonical);
  });

  test.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1/8',
    'fe80::1%eth0',
    ':::',
    'localhost',
    '1::2::3',
  ])('"%s" is no address', (text) => {
    expect(() => Ip.parse(text)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('tryParse has undefined for what is no address', () => {
    expect(Ip.tryParse('nonsense')).toBeUndefined();
    expect(Ip.tryParse('192.0.2.1')?.value).toBe(0xc0000201n);
  });

  test('a value has to fit its family', () => {
    expect(() => Ip.of(4, 1n << 32n)).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => Ip.of(6, -1n)).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => Ip.parse('255.255.255.255').plus(1n)).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
    expect(Ip.parse('10.0.0.255').plus(1n).toString()).toBe('10.0.1.0');
  });

  test('equal are only addresses of one family', () => {
    expect(Ip.of(4, 1n).equals(Ip.of(6, 1n))).toBe(false);
    expect(Ip.of(4, 1n).equals(undefined)).toBe(false);
    expect(JSON.stringify({ ip: Ip.parse('10.0.0.1') })).toBe('{"ip":"10.0.0.1"}');
  });
});
