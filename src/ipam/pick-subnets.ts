import { ADDRESS_BITS } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import {
  type Block,
  blocksOf,
  fitsRange,
  pickBetween,
  pickSubnet,
  type RandomInt,
  type Range,
  subnetCount,
} from './pick-subnet.ts';

/**
 * A subnet of each range, in its order: those that are kept, and for the others one that is free; `undefined` when there
 * is none.
 *
 * Of two families both have the same place in their ranges wherever that can be. So two hosts that pick at the same time
 * either pick nothing in common, or the same two: then their leases have one key, and only one of them is created.
 */
export function pickSubnets(
  ranges: readonly Range[],
  kept: readonly Prefix[],
  taken: readonly Prefix[],
  random: RandomInt,
): Prefix[] | undefined {
  const keptOf = (range: Range) => kept.find((subnet) => fitsRange(range, subnet));
  const [first, second] = ranges;
  const picked =
    first !== undefined && second !== undefined && kept.length === 0
      ? pickPair(first, second, taken, random)
      : ranges.map(
          (range, index) =>
            keptOf(range) ??
            freePartner(ranges[1 - index], range, kept, taken) ??
            pickSubnet(range, taken, random),
        );
  const subnets = picked.filter((subnet) => subnet !== undefined);
  return subnets.length === ranges.length ? subnets : undefined;
}

function pickPair(first: Range, second: Range, taken: readonly Prefix[], random: RandomInt) {
  // What is taken of the second range is taken of the first, too, at the same places.
  const mirrored = taken.flatMap((subnet) => mirror(subnet, second, first));
  const blocks = [...blocksOf(taken, first.subnetMin.family), ...mirrored];
  const last = partnerAt(first, subnetCount(second) - 1n);
  const both = { ...first, subnetMax: last?.address ?? first.subnetMax };
  const subnet = pickBetween(both, blocks, random);
  if (subnet === undefined) return [first, second].map((range) => pickSubnet(range, taken, random));
  return [subnet, partnerAt(second, placeOf(subnet, first))];
}

function freePartner(
  other: Range | undefined,
  range: Range,
  kept: readonly Prefix[],
  taken: readonly Prefix[],
): Prefix | undefined {
  const subnet = other && kept.find((one) => fitsRange(other, one));
  if (other === undefined || subnet === undefined) return undefined;
  const partner = partnerAt(range, placeOf(subnet, other));
  return partner && !taken.some((one) => one.overlaps(partner)) ? partner : undefined;
}

/** From 0; it may lie before the range, or behind it. */
function placeOf(subnet: Prefix, { subnetMin, subnetLen }: Range): bigint {
  return (subnet.address.value - subnetMin.value) >> hostBits({ subnetMin, subnetLen });
}

function partnerAt(range: Range, place: bigint): Prefix | undefined {
  if (place < 0n || place >= subnetCount(range)) return undefined;
  return Prefix.of(range.subnetMin.plus(place << hostBits(range)), range.subnetLen);
}

/** The addresses of one range at the places that a prefix takes in another: none or one block. */
function mirror(taken: Prefix, from: Range, to: Range): Block[] {
  const { subnetMin } = from;
  if (taken.family !== subnetMin.family || taken.last.value < subnetMin.value) return [];
  const place = placeOf(taken, from);
  const first = place < 0n ? 0n : place;
  const behind = ((taken.last.value - subnetMin.value) >> hostBits(from)) + 1n;
  const addressAt = (at: bigint) => to.subnetMin.value + (at << hostBits(to));
  return [{ first: addressAt(first), last: addressAt(behind) - 1n }];
}

function hostBits({ subnetMin, subnetLen }: Pick<Range, 'subnetMin' | 'subnetLen'>): bigint {
  return BigInt(ADDRESS_BITS[subnetMin.family] - subnetLen);
}
