import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitsRange, pickSubnet, type Range, subnetCount } from '../../../src/ipam/pick-subnet.ts';
import { ADDRESS_BITS, type Family, Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const range = (min: string, max: string, subnetLen: number): Range => ({
  subnetMin: Ip.parse(min),
  subnetMax: Ip.parse(max),
  subnetLen,
});
const prefixes = (...texts: string[]) => texts.map(Prefix.parse);

/** Every subnet of the range, one by one. */
function subnetsOf({ subnetMin, subnetMax, subnetLen }: Range): Prefix[] {
  const subnets: Prefix[] = [];
  for (let { value } = subnetMin; value <= subnetMax.value; ) {
    const subnet = Prefix.of(Ip.of(subnetMin.family, value), subnetLen);
    subnets.push(subnet);
    value += subnet.size;
  }
  return subnets;
}

/** A range of up to 256 subnets, and prefixes of any length in and around it, of both families. */
const situation = fc
  .record({
    family: fc.constantFrom<Family>(4, 6),
    networkLen: fc.integer({ min: 8, max: 22 }),
    doublings: fc.integer({ min: 2, max: 8 }),
    place: fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
    bounds: fc.tuple(fc.nat(255), fc.nat(255)),
  })
  .chain(({ family, networkLen, doublings, place, bounds }) => {
    const bits = ADDRESS_BITS[family];
    const network = Prefix.of(Ip.of(family, place >> BigInt(128 - bits)), networkLen);
    const subnetLen = networkLen + doublings;
    const [low, high] = bounds.map((index) => index % 2 ** doublings).sort((a, b) => a - b);
    const at = (index = 0) => network.address.plus(BigInt(index) << BigInt(bits - subnetLen));
    const held = fc
      .tuple(fc.bigInt({ min: 0n, max: network.size - 1n }), fc.integer({ min: networkLen + 1, max: bits }))
      .map(([offset, length]) => Prefix.of(network.address.plus(offset), length));
    const elsewhere = fc.constantFrom(...prefixes('0.0.0.0/32', '::/128', '255.255.255.255/32', 'fc00::/7'));
    return fc.record({
      range: fc.constant<Range>({ subnetMin: at(low), subnetMax: at(high), subnetLen }),
      taken: fc.array(fc.oneof({ weight: 9, arbitrary: held }, elsewhere), { maxLength: 40 }),
      chance: fc.nat(),
    });
  });

describe('pickSubnet', () => {
  test('is one of the first hundred that overlap nothing, as counting them one by one finds', () => {
    fc.assert(
      fc.property(situation, ({ range, taken, chance }) => {
        const free = subnetsOf(range)
          .filter((subnet) => !taken.some((other) => other.overlaps(subnet)))
          .slice(0, 100);
        const bounds: number[] = [];
        const picked = pickSubnet(range, taken, (bound) => {
          bounds.push(bound);
          return chance % bound;
        });
        expect(picked?.toString()).toBe(free[chance % free.length]?.toString());
        expect(bounds).toEqual(free.length === 0 ? [] : [free.length]);
        if (picked !== undefined) expect(fitsRange(range, picked)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('takes every subnet of the range before it gives up', () => {
    const small = range('10.5.1.0', '10.5.8.0', 24);
    const taken: Prefix[] = [];
    for (let picked = pickSubnet(small, taken, () => 0); picked; picked = pickSubnet(small, taken, () => 0)) {
      taken.push(picked);
    }
    expect(taken.map(String)).toEqual(subnetsOf(small).map(String));
  });

  test('prefixes nested in each other, the wider one first', () => {
    const taken = prefixes('10.5.0.0/22', '10.5.1.0/24', '10.5.1.7/32', '10.5.5.0/30');
    expect(pickSubnet(range('10.5.1.0', '10.5.7.0', 24), taken, () => 1)?.toString()).toBe('10.5.6.0/24');
  });

  test('the last addresses of a family', () => {
    const edge = range('255.255.255.248', '255.255.255.252', 30);
    expect(pickSubnet(edge, prefixes('255.255.255.248/30'), () => 0)?.toString()).toBe('255.255.255.252/30');
    expect(pickSubnet(edge, prefixes('255.255.255.0/24'), () => 0)).toBeUndefined();
  });

  test('one lease over half of a large IPv6 network is passed over, not counted through', {
    timeout: 1000,
  }, () => {
    // fd00::/39 holds 2^25 subnets; a daemon that counts them answers nobody meanwhile.
    const large = range('fd00:0:0:1::', 'fd00:0:1ff:ffff::', 64);
    expect(pickSubnet(large, prefixes('fd00::/40'), () => 0)?.toString()).toBe('fd00:0:100::/64');
  });
});

test.each<[Range, bigint]>([
  [range('10.5.1.0', '10.5.255.0', 24), 255n],
  [range('10.5.1.0', '10.5.1.0', 24), 1n],
  [range('10.5.0.4', '10.5.0.12', 30), 3n],
  [range('fd00::', 'fdff:ffff:ffff:ffff::', 64), 1n << 56n],
])('subnetCount %#', (some, count) => {
  expect(subnetCount(some)).toBe(count);
});

test.each([
  ['10.5.1.0/24', true],
  ['10.5.3.0/24', true],
  ['10.5.0.0/24', false],
  ['10.5.4.0/24', false],
  ['10.5.1.0/25', false],
  ['10.5.2.0/23', false],
  ['fd00::/24', false],
])('whether %s is a subnet of 10.5.1.0 to 10.5.3.0: %s', (text, fits) => {
  expect(fitsRange(range('10.5.1.0', '10.5.3.0', 24), Prefix.parse(text))).toBe(fits);
});
