import { ADDRESS_BITS, type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';

/** The range subnets are taken from, see SubnetRange in config. */
export interface Range {
  readonly subnetMin: Ip;
  readonly subnetMax: Ip;
  readonly subnetLen: number;
}

/** A whole number from 0 to `bound` - 1, evenly distributed. */
export type RandomInt = (bound: number) => number;

/** Flannel's number: enough that hosts which start together rarely pick the same one. */
const CANDIDATES = 100;

/** One of the first hundred free subnets, by chance; `undefined` when every subnet is taken. */
export function pickSubnet(range: Range, taken: readonly Prefix[], random: RandomInt): Prefix | undefined {
  return pickBetween(range, blocksOf(taken, range.subnetMin.family), random);
}

/** Addresses that cannot be had, as numbers. */
export interface Block {
  readonly first: bigint;
  readonly last: bigint;
}

export function blocksOf(taken: readonly Prefix[], family: Family): Block[] {
  return taken
    .filter((prefix) => prefix.family === family)
    .map(({ address, last }) => ({ first: address.value, last: last.value }));
}

/** As pickSubnet, with what is taken as blocks. */
export function pickBetween(range: Range, taken: readonly Block[], random: RandomInt): Prefix | undefined {
  const free = firstFree(range, taken, CANDIDATES);
  return free.length === 0 ? undefined : free[random(free.length)];
}

/** The first free ones, up to a limit. */
export function freeSubnets(range: Range, taken: readonly Prefix[], limit: number): Prefix[] {
  return firstFree(range, blocksOf(taken, range.subnetMin.family), limit);
}

/** Whether a subnet is one of those the range is cut into. */
export function fitsRange(range: Range, subnet: Prefix): boolean {
  return (
    subnet.family === range.subnetMin.family &&
    subnet.length === range.subnetLen &&
    subnet.address.value >= range.subnetMin.value &&
    subnet.address.value <= range.subnetMax.value
  );
}

/** How many subnets the range holds, taken or not. */
export function subnetCount({ subnetMin, subnetMax, subnetLen }: Range): bigint {
  return ((subnetMax.value - subnetMin.value) >> BigInt(ADDRESS_BITS[subnetMin.family] - subnetLen)) + 1n;
}

/** One pass over the range and the sorted blocks, whatever lengths these have. */
function firstFree(range: Range, taken: readonly Block[], limit: number): Prefix[] {
  const { family } = range.subnetMin;
  const size = 1n << BigInt(ADDRESS_BITS[family] - range.subnetLen);
  const blocks = taken.toSorted((one, other) => (one.first < other.first ? -1 : 1));
  const free: Prefix[] = [];
  let next = 0;
  let blockedUpTo = -1n;
  let start = range.subnetMin.value;
  while (start <= range.subnetMax.value && free.length < limit) {
    for (
      let block = blocks[next];
      block !== undefined && block.first < start + size;
      block = blocks[++next]
    ) {
      if (block.last > blockedUpTo) blockedUpTo = block.last;
    }
    if (blockedUpTo < start) {
      free.push(Prefix.of(Ip.of(family, start), range.subnetLen));
      start += size;
    } else {
      // The first boundary past the block: one lease may cover more subnets than can be counted.
      start = (blockedUpTo / size + 1n) * size;
    }
  }
  return free;
}
