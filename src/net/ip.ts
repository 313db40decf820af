import { isIPv4, isIPv6 } from 'node:net';
import { CorduroyError } from '../errors.ts';

export type Family = 4 | 6;

/** Bits in an address of each family. */
export const ADDRESS_BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

/**
 * An IPv4 or IPv6 address: an immutable value. One class serves both families, so that nothing above it needs a
 * copy per family. `value` is the address as an unsigned integer in network order.
 */
export class Ip {
  readonly family: Family;
  readonly value: bigint;
  /** Once asked for: thousands of leases are compared, logged and reported by their texts again and again. */
  #text: string | undefined;

  private constructor(family: Family, value: bigint) {
    this.family = family;
    this.value = value;
  }

  /**
   * @param value 0 … 2^32-1 or 2^128-1
   * @throws CorduroyError `malformed` when the value does not fit the family
   */
  static of(family: Family, value: bigint): Ip {
    if (value < 0n || value >> BigInt(ADDRESS_BITS[family]) !== 0n) {
      throw new CorduroyError('malformed', `${value} does not fit an IPv${family} address`);
    }
    return new Ip(family, value);
  }

  /** Dotted quad or RFC 4291 text; no zone, no prefix length. @throws CorduroyError `malformed` */
  static parse(text: string): Ip {
    if (isIPv4(text)) return new Ip(4, parseV4(text));
    if (isIPv6(text) && !text.includes('%')) return new Ip(6, parseV6(text));
    throw new CorduroyError('malformed', `"${text}" is not an IP address`);
  }

  /** Like `parse`, with `undefined` in place of the error. */
  static tryParse(text: string): Ip | undefined {
    return isIPv4(text) || isIPv6(text) ? Ip.parse(text.replace(/%.*$/, '')) : undefined;
  }

  /** Reads the address at `offset` (4 or 16 bytes, network order). The caller has checked the length. */
  static fromBytes(family: Family, bytes: Uint8Array, offset = 0): Ip {
    let value = 0n;
    for (let index = 0; index < ADDRESS_BITS[family] / 8; index++) {
      value = (value << 8n) | BigInt(bytes[offset + index] ?? 0);
    }
    return new Ip(family, value);
  }

  /** 4 or 16 bytes in network order. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(ADDRESS_BITS[this.family] / 8);
    let rest = this.value;
    for (let index = bytes.length - 1; index >= 0; index--) {
      bytes[index] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    return bytes;
  }

  /** The address `count` after this one. @throws CorduroyError `malformed` past the end of the family's range */
  plus(count: bigint): Ip {
    return Ip.of(this.family, this.value + count);
  }

  equals(other: Ip | undefined): boolean {
    return other !== undefined && other.family === this.family && other.value === this.value;
  }

  /** Dotted quad, or the canonical text of RFC 5952. */
  toString(): string {
    this.#text ??= this.family === 4 ? formatV4(Number(this.value)) : formatV6(this.value);
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}

function parseV4(text: string): bigint {
  return text.split('.').reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

/** @param value 0 … 2^32-1 */
function formatV4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`;
}

function parseV6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const zeros = new Array<bigint>(8 - left.length - right.length).fill(0n);
  return [...left, ...zeros, ...right].reduce((value, group) => (value << 16n) | group, 0n);
}

function groupsOf(text: string): bigint[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)];
    const embedded = parseV4(group);
    return [embedded >> 16n, embedded & 0xffffn];
  });
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatV6(value: bigint): string {
  const groups = [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map((shift) =>
    ((value >> shift) & 0xffffn).toString(16),
  );
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}
