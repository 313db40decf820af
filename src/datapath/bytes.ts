import { CorduroyError } from '../errors.ts';
import type { Endpoint } from '../net/endpoint.ts';
import { ADDRESS_BITS, type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';

/*
 * The elements of the control protocol. Numbers are unsigned and big-endian.
 *
 *     string    | length u16 | UTF-8 …                          |
 *     address   | family u8  | 4 or 16 bytes                    |      family: 4 or 6
 *     prefix    | family u8  | length u8  | 4 or 16 bytes       |      no host bits set
 *     endpoint  | family u8  | port u16   | 4 or 16 bytes       |      port: 1 … 65535
 */
const STRING_MAX = 0xffff;
const U64_MAX = (1n << 64n) - 1n;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Builds a message. Every method throws CorduroyError `malformed` for a value that its field cannot hold. */
export class ByteWriter {
  #buffer = Buffer.alloc(256);
  #length = 0;

  u8(value: number): this {
    const at = this.#take(1);
    this.#buffer.writeUInt8(inRange(value, 0xff), at);
    return this;
  }

  u16(value: number): this {
    const at = this.#take(2);
    this.#buffer.writeUInt16BE(inRange(value, 0xffff), at);
    return this;
  }

  u32(value: number): this {
    const at = this.#take(4);
    this.#buffer.writeUInt32BE(inRange(value, 0xffff_ffff), at);
    return this;
  }

  u64(value: bigint): this {
    if (value < 0n || value > U64_MAX) throw new CorduroyError('malformed', `${value} does not fit 64 bits`);
    const at = this.#take(8);
    this.#buffer.writeBigUInt64BE(value, at);
    return this;
  }

  string(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length > STRING_MAX) {
      throw new CorduroyError('malformed', `a text of ${bytes.length} bytes is longer than ${STRING_MAX}`);
    }
    return this.u16(bytes.length).bytes(bytes);
  }

  address(ip: Ip): this {
    return this.u8(ip.family).bytes(ip.toBytes());
  }

  prefix(prefix: Prefix): this {
    return this.u8(prefix.family).u8(prefix.length).bytes(prefix.address.toBytes());
  }

  endpoint({ address, port }: Endpoint): this {
    if (port === 0) throw new CorduroyError('malformed', `port 0 of ${address} is not a UDP port`);
    return this.u8(address.family).u16(port).bytes(address.toBytes());
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#take(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#buffer.length * 2));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    return at;
  }
}

/**
 * Takes a message apart. Nothing is read before its length has been checked; every method throws CorduroyError
 * `malformed`, and nothing else, when the bytes are not what they should be.
 */
export class ByteReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  string(): string {
    const length = this.u16();
    const at = this.#take(length);
    if (length === 0) return '';
    try {
      return UTF8.decode(this.#buffer.subarray(at, at + length));
    } catch (cause) {
      throw new CorduroyError('malformed', `the text at byte ${at} is not UTF-8`, { cause });
    }
  }

  address(): Ip {
    return this.#addressOf(this.#family());
  }

  prefix(): Prefix {
    const family = this.#family();
    const length = this.u8();
    const address = this.#addressOf(family);
    const prefix = Prefix.of(address, length);
    if (!prefix.address.equals(address)) {
      throw new CorduroyError(
        'malformed',
        `${address}/${length} has host bits set: the network is ${prefix}`,
      );
    }
    return prefix;
  }

  endpoint(): Endpoint {
    const family = this.#family();
    const port = this.u16();
    const address = this.#addressOf(family);
    if (port === 0) throw new CorduroyError('malformed', `port 0 of ${address} is not a UDP port`);
    return { address, port };
  }

  /** A u32 count, then as many elements. A count that lies is found out at the first element that is not there. */
  list<T>(element: (reader: ByteReader) => T): T[] {
    const count = this.u32();
    const elements: T[] = [];
    for (let index = 0; index < count; index++) elements.push(element(this));
    return elements;
  }

  /** Demands that nothing is left over. */
  end(): void {
    const left = this.#buffer.length - this.#offset;
    if (left > 0) throw new CorduroyError('malformed', `${left} bytes are left over at byte ${this.#offset}`);
  }

  #family(): Family {
    const family = this.u8();
    if (family !== 4 && family !== 6) {
      throw new CorduroyError(
        'malformed',
        `${family} at byte ${this.#offset - 1} is no address family (4 or 6)`,
      );
    }
    return family;
  }

  #addressOf(family: Family): Ip {
    return Ip.fromBytes(family, this.#buffer, this.#take(ADDRESS_BITS[family] / 8));
  }

  #take(count: number): number {
    const at = this.#offset;
    if (count > this.#buffer.length - at) {
      throw new CorduroyError(
        'malformed',
        `the message ends at byte ${this.#buffer.length}, inside a field of ${count} bytes that starts at ${at}`,
      );
    }
    this.#offset += count;
    return at;
  }
}

function inRange(value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new CorduroyError('malformed', `${value} is not in 0 … ${max}`);
  }
  return value;
}
