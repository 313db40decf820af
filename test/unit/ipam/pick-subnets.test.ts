import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Range, subnetCount } from '../../../src/ipam/pick-subnet.ts';
import { pickSubnets } from '../../../src/ipam/pick-subnets.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const range = (min: string, max: string, subnetLen: number): Range => ({
  subnetMin: Ip.parse(min),
  subnetMax: Ip.parse(max),
  subnetLen,
});
const V4 = range('10.5.1.0', '10.5.16.0', 24);
/** As many; more; fewer. */
const V6 = [
  range('fd00:0:0:1::', 'fd00:0:0:10::', 64),
  range('fd00:0:0:100::', 'fd00:0:0:ff00::', 56),
  range('fd00:0:0:1::', 'fd00:0:0:5::', 64),
];
const placeIn = ({ subnetMin, subnetLen }: Range, { address }: Prefix) =>
  Number((address.value - subnetMin.value) >> BigInt((address.family === 4 ? 32 : 128) - subnetLen));
const at = ({ subnetMin, subnetLen }: Range, place: number) =>
  Prefix.of(
    subnetMin.plus(BigInt(place) << BigInt((subnetMin.family === 4 ? 32 : 128) - subnetLen)),
    subnetLen,
  );
const pick = (ranges: readonly Range[], kept: Prefix[], taken: Prefix[], chance = 0) =>
  pickSubnets(ranges, kept, taken, (bound) => chance % bound);

test('of two families: free, kept, at the same place wherever one is free in both; a slow look finds as much', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...V6),
      fc.uniqueArray(fc.nat(15), { maxLength: 16 }),
      fc.uniqueArray(fc.nat(17), { maxLength: 18 }),
      fc.option(fc.nat(15)),
      fc.nat(),
      (v6, taken4, taken6, keptPlace, chance) => {
        const ranges = [V4, v6];
        const taken = [...taken4.map((place) => at(V4, place)), ...taken6.map((place) => at(v6, place))];
        const kept = keptPlace === null || taken4.includes(keptPlace) ? [] : [at(V4, keptPlace)];
        const free = (one: Range, places: number[]) =>
          Array.from({ length: Math.min(16, Number(subnetCount(one))) }, (_, place) => place).filter(
            (place) => !places.includes(place),
          );
        const both = free(V4, taken4).filter((place) => free(v6, taken6).includes(place));
        const picked = pick(ranges, kept, taken, chance);
        const hasRoom =
          (kept.length > 0 || free(V4, taken4).length > 0) &&
          (free(v6, taken6).length > 0 || subnetCount(v6) > 18n);
        expect(picked !== undefined).toBe(hasRoom);
        if (picked === undefined) return;
        const [first, second] = picked as [Prefix, Prefix];
        expect(picked.some((subnet) => taken.some((other) => other.overlaps(subnet)))).toBe(false);
        if (kept[0] !== undefined) expect(first.toString()).toBe(kept[0].toString());
        const places = [placeIn(V4, first), placeIn(v6, second)];
        const canMatch = kept.length > 0 ? both.includes(places[0] ?? -1) : both.length > 0;
        if (canMatch) expect(places[1]).toBe(places[0]);
      },
    ),
    { numRuns: 500 },
  );
});

describe('what is taken of one family', () => {
  test('as one wide key takes the same places of the other', () => {
    const wide = Prefix.parse('fd00::/61'); // Places 0 to 6: fd00:0:0:1:: to fd00:0:0:7::.
    expect(pick([V4, V6[0] as Range], [], [wide])?.map(String)).toEqual(['10.5.8.0/24', 'fd00:0:0:8::/64']);
    const everything = Prefix.parse('fd00::/16');
    expect(pick([V4, V6[0] as Range], [], [everything])).toBeUndefined();
    const outside = ['fc00::/16', 'fe00::/16', 'fd00:0:0:11::/64'].map(Prefix.parse);
    expect(pick([V4, V6[0] as Range], [], outside)?.map(String)).toEqual(['10.5.1.0/24', 'fd00:0:0:1::/64']);
  });

  test('a kept IPv6 subnet has its partner in IPv4; of one family what is kept is all there is', () => {
    const kept = [Prefix.parse('fd00:0:0:7::/64')];
    expect(pick([V4, V6[0] as Range], kept, [])?.map(String)).toEqual(['10.5.7.0/24', 'fd00:0:0:7::/64']);
    expect(pick([V6[0] as Range], kept, [])?.map(String)).toEqual(['fd00:0:0:7::/64']);
  });
});
