import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ADDRESS_BITS, type Family, Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const ipOf = (family: Family) =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(ADDRESS_BITS[family])) - 1n }).map((value) => Ip.of(family, value));
const prefixOf = (family: Family) =>
  fc.tuple(ipOf(family), fc.nat(ADDRESS_BITS[family])).map(([ip, length]) => Prefix.of(ip, length));
const anyPrefix = fc.oneof(prefixOf(4), prefixOf(6));

/** Written in binary, a prefix holds an address that begins with it. */
const bits = (ip: Ip) => ip.value.toString(2).padStart(ADDRESS_BITS[ip.family], '0');

describe('Prefix', () => {
  test('text comes back as the same prefix', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(Prefix.parse(prefix.toString()).equals(prefix)).toBe(true);
      }),
    );
  });

  test('holds exactly the addresses that begin with it', () => {
    const pair = fc.constantFrom<Family>(4, 6).chain((family) => fc.tuple(prefixOf(family), ipOf(family)));
    fc.assert(
      fc.property(pair, ([prefix, ip]) => {
        expect(prefix.contains(ip)).toBe(bits(ip).startsWith(bits(prefix.address).slice(0, prefix.length)));
        expect(prefix.contains(prefix.address) && prefix.contains(prefix.last)).toBe(true);
        expect(prefix.last.value - prefix.address.value + 1n).toBe(prefix.size);
      }),
    );
  });

  test('two prefixes overlap when one covers the other', () => {
    const pair = fc
      .constantFrom<Family>(4, 6)
      .chain((family) => fc.tuple(prefixOf(family), fc.nat(ADDRESS_BITS[family])))
      .map(([prefix, length]) => [prefix, Prefix.of(prefix.address, length)] as const);
    fc.assert(
      fc.property(pair, ([prefix, other]) => {
        expect(prefix.overlaps(other)).toBe(true);
        expect(prefix.covers(other)).toBe(prefix.length <= other.length && prefix.contains(other.last));
      }),
    );
    expect(Prefix.parse('10.0.0.0/9').overlaps(Prefix.parse('10.128.0.0/9'))).toBe(false);
    expect(Prefix.parse('0.0.0.0/0').overlaps(Prefix.parse('::/0'))).toBe(false);
  });

  test.each([
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '::/129',
    'x/8',
    '10.0.0.0/ 8',
    '',
  ])('"%s" is no prefix', (text) => {
    expect(() => Prefix.parse(text)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('host bits are an error that names the network meant', () => {
    expect(() => Prefix.parse('10.5.1.7/16')).toThrow(/the network is 10\.5\.0\.0\/16/);
    expect(Prefix.of(Ip.parse('10.5.1.7'), 16).toString()).toBe('10.5.0.0/16');
    expect(() => Prefix.of(Ip.parse('10.5.1.7'), 33)).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => Prefix.of(Ip.parse('10.5.1.7'), 1.5)).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});
