import fc from 'fast-check';
import { Ip } from '../../../src/net/ip.ts';
import { internetChecksum } from '../../../src/wire/checksum.ts';
import {
  GSO_TCPV4,
  GSO_TCPV6,
  NEEDS_CSUM,
  VIRTIO_HEADER,
  type VirtioHeader,
} from '../../../src/wire/virtio-header.ts';

export interface TcpFields {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly payload?: Uint8Array;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly window?: number;
  readonly flags?: number;
  /** A multiple of 4 bytes, at most 40. */
  readonly options?: Uint8Array;
  /** IPv4 only: a multiple of 4 bytes, at most 40. */
  readonly ipOptions?: Uint8Array;
  readonly id?: number;
  readonly dontFragment?: boolean;
  /** TOS or traffic class. */
  readonly tos?: number;
  readonly ttl?: number;
}

const TCP = 6;
const ACK = 0x10;

/** An IPv4 or IPv6 packet, by the family of its addresses, that holds a TCP segment. All checksums are right. */
export function tcpPacket(fields: TcpFields): Buffer {
  const packet = withoutTcpChecksum(fields);
  const transport = transportOf(packet);
  packet.writeUInt16BE(
    internetChecksum(Buffer.concat([pseudoHeader(packet), packet.subarray(transport)])),
    transport + 16,
  );
  return packet;
}

/** What a TUN gives for many segments of `size` bytes: the checksum holds the sum of the pseudo-header. */
export function superPacket(fields: TcpFields, size: number): { bytes: Buffer; header: VirtioHeader } {
  const bytes = withoutTcpChecksum(fields);
  const transport = transportOf(bytes);
  bytes.writeUInt16BE(~internetChecksum(pseudoHeader(bytes)) & 0xffff, transport + 16);
  return {
    bytes,
    header: {
      flags: NEEDS_CSUM,
      gsoType: isV4(bytes) ? GSO_TCPV4 : GSO_TCPV6,
      headerLength: transport + ((bytes[transport + 12] ?? 0) >> 4) * 4,
      gsoSize: size,
      checksumStart: transport,
      checksumOffset: 16,
    },
  };
}

/** The same as bytes, as they are written into a TUN. */
export function superPacketBytes(fields: TcpFields, size: number): Buffer {
  const { bytes, header } = superPacket(fields, size);
  const start = Buffer.alloc(VIRTIO_HEADER);
  start[0] = header.flags;
  start[1] = header.gsoType;
  const words = [header.headerLength, header.gsoSize, header.checksumStart, header.checksumOffset];
  for (const [index, word] of words.entries()) start.writeUInt16LE(word, 2 + 2 * index);
  return Buffer.concat([start, bytes]);
}

/** Whether the IPv4 header's and the TCP checksum are right: over bytes that hold their checksum, the sum is zero. */
export function checksumsAreRight(packet: Uint8Array): boolean {
  const bytes = Buffer.from(packet);
  const transport = transportOf(bytes);
  if (isV4(bytes) && internetChecksum(bytes.subarray(0, transport)) !== 0) return false;
  return internetChecksum(Buffer.concat([pseudoHeader(bytes), bytes.subarray(transport)])) === 0;
}

export function transportOf(packet: Uint8Array): number {
  return isV4(packet) ? ((packet[0] ?? 0) & 0x0f) * 4 : 40;
}

const port = fc.integer({ min: 1, max: 65_535 });
const words = (max: number) =>
  fc.nat(max).chain((count) => fc.uint8Array({ minLength: 4 * count, maxLength: 4 * count }));
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
/** The header of any segment of data; the payload is the test's. Without IP options, for join. */
export const dataSegment: fc.Arbitrary<TcpFields> = fc
  .constantFrom(
    { source: '10.5.1.7', destination: '10.5.2.7' },
    { source: 'fd00:1::7', destination: 'fd00:2::7' },
  )
  .chain((addresses) =>
    fc
      .record({
        sourcePort: port,
        destinationPort: port,
        // Near the ends of their ranges, to have them go around.
        sequence: fc.oneof(u32, fc.integer({ min: 0xffff_0000, max: 0xffff_ffff })),
        id: fc.oneof(fc.nat(65_535), fc.integer({ min: 65_500, max: 65_535 })),
        acknowledgment: u32,
        window: fc.nat(65_535),
        options: words(10),
        tos: fc.nat(255),
        ttl: fc.integer({ min: 1, max: 255 }),
        dontFragment: fc.boolean(),
      })
      .map((fields) => ({ ...addresses, ...fields })),
  );
export const ipOptions = words(10);

function withoutTcpChecksum(fields: TcpFields): Buffer {
  const { payload = new Uint8Array(0), options = new Uint8Array(0), ipOptions = new Uint8Array(0) } = fields;
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(fields.sourcePort ?? 4000, 0);
  tcp.writeUInt16BE(fields.destinationPort ?? 80, 2);
  tcp.writeUInt32BE((fields.sequence ?? 1) >>> 0, 4);
  tcp.writeUInt32BE(fields.acknowledgment ?? 1, 8);
  tcp[12] = (5 + options.length / 4) << 4;
  tcp[13] = fields.flags ?? ACK;
  tcp.writeUInt16BE(fields.window ?? 500, 14);
  const segment = Buffer.concat([tcp, options, payload]);
  const source = Ip.parse(fields.source);
  const addresses = [source.toBytes(), Ip.parse(fields.destination).toBytes()];
  return source.family === 4
    ? Buffer.concat([ipv4Header(fields, Buffer.concat(addresses), ipOptions, segment.length), segment])
    : Buffer.concat([ipv6Header(fields, Buffer.concat(addresses), segment.length), segment]);
}

function ipv4Header(fields: TcpFields, addresses: Uint8Array, options: Uint8Array, length: number): Buffer {
  const start = Buffer.alloc(12);
  start[0] = 0x45 + options.length / 4;
  start[1] = fields.tos ?? 0;
  start.writeUInt16BE(20 + options.length + length, 2);
  start.writeUInt16BE((fields.id ?? 0) & 0xffff, 4);
  start.writeUInt16BE((fields.dontFragment ?? true) ? 0x4000 : 0, 6);
  start[8] = fields.ttl ?? 64;
  start[9] = TCP;
  const header = Buffer.concat([start, addresses, options]);
  header.writeUInt16BE(internetChecksum(header), 10);
  return header;
}

function ipv6Header(fields: TcpFields, addresses: Uint8Array, length: number): Buffer {
  const start = Buffer.alloc(8);
  start.writeUInt32BE((0x6000_0000 | ((fields.tos ?? 0) << 20) | 0x12345) >>> 0, 0);
  start.writeUInt16BE(length, 4);
  start[6] = TCP;
  start[7] = fields.ttl ?? 64;
  return Buffer.concat([start, addresses]);
}

function pseudoHeader(packet: Buffer): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(packet.length - transportOf(packet), 0);
  tail[7] = TCP;
  return Buffer.concat([packet.subarray(isV4(packet) ? 12 : 8, isV4(packet) ? 20 : 40), tail]);
}

function isV4(packet: Uint8Array): boolean {
  return (packet[0] ?? 0) >> 4 === 4;
}
