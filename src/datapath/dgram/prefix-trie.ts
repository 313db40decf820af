import type { Family } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';

/**
 * Longest-prefix match: a binary trie, one a family. A trie is never changed: `changed` makes another one, which shares
 * with the first all but the paths to what was set and removed. So a change costs what it changes, however large the
 * trie is, and who has the old one still has it.
 */
export class PrefixTrie<T> {
  /** How many prefixes are stored. */
  readonly size: number;
  readonly #roots: Readonly<Record<Family, Node<T> | undefined>>;

  private constructor(roots: Readonly<Record<Family, Node<T> | undefined>>, size: number) {
    this.#roots = roots;
    this.size = size;
  }

  static empty<T>(): PrefixTrie<T> {
    return new PrefixTrie<T>({ 4: undefined, 6: undefined }, 0);
  }

  /** The value of the longest stored prefix that holds the address (4 or 16 bytes at `offset`). */
  lookup(family: Family, bytes: Uint8Array, offset = 0): T | undefined {
    let node = this.#roots[family];
    let found: T | undefined;
    for (let bit = 0; node !== undefined; bit++) {
      if (node.held !== undefined) found = node.held;
      node = isOne(bytes, offset, bit) ? node.one : node.zero;
    }
    return found;
  }

  changed(change: (edit: TrieEdit<T>) => void): PrefixTrie<T> {
    const edit = new TrieEdit<T>({ ...this.#roots }, this.size);
    change(edit);
    return new PrefixTrie<T>(edit.roots, edit.size);
  }
}

class Node<T> {
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
  held: T | undefined;
  /** Which edit has made this node. That one may still change it; for all others it is fixed. */
  readonly edit: TrieEdit<T>;

  constructor(edit: TrieEdit<T>, from?: Node<T>) {
    this.zero = from?.zero;
    this.one = from?.one;
    this.held = from?.held;
    this.edit = edit;
  }
}

/** A new trie in the making. Both methods return what was stored under exactly this prefix before. */
export class TrieEdit<T> {
  readonly roots: Record<Family, Node<T> | undefined>;
  size: number;
  #before: T | undefined;

  constructor(roots: Record<Family, Node<T> | undefined>, size: number) {
    this.roots = roots;
    this.size = size;
  }

  set(prefix: Prefix, value: T): T | undefined {
    const { family, address, length } = prefix;
    this.roots[family] = this.#set(this.roots[family], address.toBytes(), 0, length, value);
    if (this.#before === undefined) this.size++;
    return this.#before;
  }

  remove(prefix: Prefix): T | undefined {
    const { family, address, length } = prefix;
    this.#before = undefined;
    this.roots[family] = this.#remove(this.roots[family], address.toBytes(), 0, length);
    if (this.#before !== undefined) this.size--;
    return this.#before;
  }

  #set(node: Node<T> | undefined, bytes: Uint8Array, bit: number, length: number, value: T): Node<T> {
    const own = this.#own(node);
    if (bit === length) {
      this.#before = own.held;
      own.held = value;
    } else if (isOne(bytes, 0, bit)) {
      own.one = this.#set(own.one, bytes, bit + 1, length, value);
    } else {
      own.zero = this.#set(own.zero, bytes, bit + 1, length, value);
    }
    return own;
  }

  /** A node that leads nowhere any more goes with what it led to. */
  #remove(node: Node<T> | undefined, bytes: Uint8Array, bit: number, length: number): Node<T> | undefined {
    if (node === undefined) return undefined;
    const own = this.#own(node);
    if (bit === length) {
      this.#before = own.held;
      own.held = undefined;
    } else if (isOne(bytes, 0, bit)) {
      own.one = this.#remove(own.one, bytes, bit + 1, length);
    } else {
      own.zero = this.#remove(own.zero, bytes, bit + 1, length);
    }
    return own.held === undefined && own.zero === undefined && own.one === undefined ? undefined : own;
  }

  #own(node: Node<T> | undefined): Node<T> {
    return node?.edit === this ? node : new Node(this, node);
  }
}

/** Past the last bit of the address there are no child nodes, so a read past the end is harmless. */
function isOne(bytes: Uint8Array, offset: number, bit: number): boolean {
  return (((bytes[offset + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
}
