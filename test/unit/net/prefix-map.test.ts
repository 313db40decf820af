import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ADDRESS_BITS, type Family, Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { PrefixMap } from '../../../src/net/prefix-map.ts';

/** Addresses close together, so that prefixes nest and lookups hit. */
const crowdedIp = (family: Family) =>
  fc
    .tuple(fc.constantFrom(0n, 1n, 5n), fc.bigInt({ min: 0n, max: 15n }))
    .map(([high, low]) => Ip.of(family, (high << BigInt(ADDRESS_BITS[family] - 4)) | low));
const crowdedPrefix = (family: Family) =>
  fc
    .tuple(
      crowdedIp(family),
      fc.oneof(
        fc.nat(5),
        fc.nat(5).map((host) => ADDRESS_BITS[family] - host),
      ),
    )
    .map(([ip, length]) => Prefix.of(ip, length));
const anyFamily = fc.constantFrom<Family>(4, 6);

/** Looks at every entry; the last of equal prefixes counts. */
function linearLookup(entries: readonly (readonly [Prefix, number])[], ip: Ip): number | undefined {
  let best: readonly [Prefix, number] | undefined;
  for (const entry of entries) {
    if (entry[0].contains(ip) && (best === undefined || entry[0].length >= best[0].length)) best = entry;
  }
  return best?.[1];
}

describe('PrefixMap', () => {
  test('finds what a linear search finds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyFamily.chain(crowdedPrefix), fc.nat()), { maxLength: 30 }),
        fc.array(anyFamily.chain(crowdedIp), { minLength: 1, maxLength: 30 }),
        fc.nat(5),
        (entries, ips, offset) => {
          const map = new PrefixMap(entries);
          for (const ip of ips) {
            // As in a packet: in the middle of other bytes.
            const bytes = Buffer.concat([Buffer.alloc(offset, 0xff), ip.toBytes(), Buffer.alloc(5, 0xff)]);
            expect(map.lookup(ip.family, bytes, offset)).toBe(linearLookup(entries, ip));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a falsy value is a value, and hides the shorter prefix', () => {
    const map = new PrefixMap<number | undefined>([
      [Prefix.parse('0.0.0.0/0'), 1],
      [Prefix.parse('10.0.0.0/8'), undefined],
    ]);
    expect(map.lookup(4, Ip.parse('10.1.1.1').toBytes())).toBeUndefined();
    expect(map.lookup(4, Ip.parse('11.1.1.1').toBytes())).toBe(1);
  });

  test('an empty map finds nothing', () => {
    expect(new PrefixMap().lookup(6, Ip.parse('::1').toBytes())).toBeUndefined();
  });
});
