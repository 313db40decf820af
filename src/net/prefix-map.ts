import type { Family } from './ip.ts';
import type { Prefix } from './prefix.ts';

interface Node<T> {
  zero?: Node<T>;
  one?: Node<T>;
  held?: { readonly value: T };
}

/**
 * Longest-prefix match: a binary trie, one a family. A lookup walks at most as many nodes as the longest stored
 * prefix has bits, however many prefixes there are, and reads the address in place from a packet.
 */
export class PrefixMap<T> {
  readonly #roots: Record<Family, Node<T>> = { 4: {}, 6: {} };

  constructor(entries: Iterable<readonly [Prefix, T]> = []) {
    for (const [prefix, value] of entries) this.set(prefix, value);
  }

  /** Replaces what was stored under exactly this prefix. */
  set(prefix: Prefix, value: T): void {
    const bytes = prefix.address.toBytes();
    let node = this.#roots[prefix.family];
    for (let bit = 0; bit < prefix.length; bit++) {
      if (isOne(bytes, 0, bit)) {
        node.one ??= {};
        node = node.one;
      } else {
        node.zero ??= {};
        node = node.zero;
      }
    }
    node.held = { value };
  }

  /** The value of the longest stored prefix that holds the address (4 or 16 bytes at `offset`). */
  lookup(family: Family, bytes: Uint8Array, offset = 0): T | undefined {
    let node: Node<T> | undefined = this.#roots[family];
    let found: T | undefined;
    for (let bit = 0; node !== undefined; bit++) {
      if (node.held !== undefined) found = node.held.value;
      node = isOne(bytes, offset, bit) ? node.one : node.zero;
    }
    return found;
  }
}

/** Past the last bit of the address there are no child nodes, so a read past the end is harmless. */
function isOne(bytes: Uint8Array, offset: number, bit: number): boolean {
  return (((bytes[offset + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
}
