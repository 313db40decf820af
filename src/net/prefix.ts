import IPCIDR from 'ip-cidr';
import { CorduroyError } from '../errors.ts';
import { ADDRESS_BITS, type Family, Ip } from './ip.ts';

/** A network: an address with no host bits set, and a prefix length. An immutable value. */
export class Prefix {
  readonly address: Ip;
  /** 0 … 32 or 128. */
  readonly length: number;
  /** Once asked for, as in Ip. */
  #last: Ip | undefined;
  #text: string | undefined;

  private constructor(address: Ip, length: number) {
    this.address = address;
    this.length = length;
  }

  /**
   * The network of the given length that holds the address: host bits are cleared.
   * @throws CorduroyError `malformed` when the length does not fit the family
   */
  static of(address: Ip, length: number): Prefix {
    const bits = ADDRESS_BITS[address.family];
    if (!Number.isInteger(length) || length < 0 || length > bits) {
      throw new CorduroyError('malformed', `/${length} is not a prefix length of IPv${address.family}`);
    }
    const host = BigInt(bits - length);
    return new Prefix(Ip.of(address.family, (address.value >> host) << host), length);
  }

  /**
   * CIDR text, `10.5.0.0/16` or `fd00::/48`.
   * @throws CorduroyError `malformed` when it is no CIDR, or has host bits set (the message names the network meant)
   */
  static parse(text: string): Prefix {
    const prefix = Prefix.parseMasked(text);
    if (!prefix.address.equals(Ip.parse(text.slice(0, text.indexOf('/'))))) {
      throw new CorduroyError('malformed', `"${text}" has host bits set: the network is ${prefix}`);
    }
    return prefix;
  }

  /** As `parse`, with host bits cleared: what Go's net.ParseCIDR, and so flannel, makes of a network. */
  static parseMasked(text: string): Prefix {
    const [address, length] = text.split('/');
    if (
      address === undefined ||
      length === undefined ||
      !/^\d{1,3}$/.test(length) ||
      !IPCIDR.isValidCIDR(text)
    ) {
      throw new CorduroyError('malformed', `"${text}" is not a network in CIDR form, such as 10.5.0.0/16`);
    }
    return Prefix.of(Ip.parse(address), Number(length));
  }

  get family(): Family {
    return this.address.family;
  }

  /** How many addresses it holds. */
  get size(): bigint {
    return 1n << BigInt(ADDRESS_BITS[this.family] - this.length);
  }

  get last(): Ip {
    this.#last ??= this.address.plus(this.size - 1n);
    return this.#last;
  }

  contains(ip: Ip): boolean {
    return ip.family === this.family && ip.value >= this.address.value && ip.value <= this.last.value;
  }

  covers(other: Prefix): boolean {
    return other.length >= this.length && this.contains(other.address);
  }

  overlaps(other: Prefix): boolean {
    return this.covers(other) || other.covers(this);
  }

  equals(other: Prefix | undefined): boolean {
    return other !== undefined && other.length === this.length && other.address.equals(this.address);
  }

  toString(): string {
    this.#text ??= `${this.address}/${this.length}`;
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}
