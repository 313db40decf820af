import { Ip } from '../../../../src/net/ip.ts';
import { internetChecksum } from '../../../../src/wire/checksum.ts';

/*
 * IP packets of every shape. The lengths and checksums are right unless a test breaks them afterwards.
 */

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;

export interface IpFields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** TOS or traffic class. */
  readonly tos?: number;
  readonly ttl?: number;
  readonly id?: number;
  /** IPv4: flags and fragment offset. */
  readonly fragment?: number;
  /** IPv4: a multiple of 4 bytes. */
  readonly options?: Buffer;
  /** IPv6: whole extension headers; `protocol` is behind the last, which says so itself. */
  readonly extensions?: { readonly first: number; readonly bytes: Buffer };
  readonly flowLabel?: number;
}

export interface TcpFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment?: number;
  readonly flags: number;
  /** The four bits beside the data offset. */
  readonly reserved?: number;
  readonly window?: number;
  readonly urgent?: number;
  readonly options?: Buffer;
}

/** How a transport header's checksum is: of all, of the pseudo-header alone (NEEDS_CSUM), wrong, or (UDP) none. */
export type Checksum = 'full' | 'partial' | 'wrong' | 'none';

export interface Made {
  readonly bytes: Buffer;
  /** Offset of the transport header. */
  readonly transport: number;
  /** Offset of its payload. */
  readonly payload: number;
}

export function ipPacket(fields: IpFields, transport: Buffer): Made {
  const header =
    Ip.parse(fields.source).family === 4 ? ipv4Header(fields, transport) : ipv6Header(fields, transport);
  return { bytes: Buffer.concat([header, transport]), transport: header.length, payload: header.length };
}

export function tcpPacket(
  ip: Omit<IpFields, 'protocol'>,
  tcp: TcpFields,
  payload: Buffer,
  checksum: Checksum,
): Made {
  const options = tcp.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20);
  header.writeUInt16BE(tcp.sourcePort, 0);
  header.writeUInt16BE(tcp.destinationPort, 2);
  header.writeUInt32BE(tcp.sequence >>> 0, 4);
  header.writeUInt32BE(tcp.acknowledgment ?? 0, 8);
  header[12] = (((20 + options.length) / 4) << 4) | (tcp.reserved ?? 0);
  header[13] = tcp.flags;
  header.writeUInt16BE(tcp.window ?? 1000, 14);
  header.writeUInt16BE(tcp.urgent ?? 0, 18);
  const segment = Buffer.concat([header, options, payload]);
  writeChecksum({ ...ip, protocol: TCP }, segment, 16, checksum);
  const made = ipPacket({ ...ip, protocol: TCP }, segment);
  return { ...made, payload: made.transport + 20 + options.length };
}

export function udpPacketOf(
  ip: Omit<IpFields, 'protocol'>,
  ports: { readonly sourcePort: number; readonly destinationPort: number },
  payload: Buffer,
  checksum: Checksum,
): Made {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(ports.sourcePort, 0);
  header.writeUInt16BE(ports.destinationPort, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  const datagram = Buffer.concat([header, payload]);
  writeChecksum({ ...ip, protocol: UDP }, datagram, 6, checksum);
  const made = ipPacket({ ...ip, protocol: UDP }, datagram);
  return { ...made, payload: made.transport + 8 };
}

/** Gives an IPv4 header the checksum that it should have. */
export function repairIpv4(packet: Buffer): void {
  const header = packet.subarray(0, ((packet[0] ?? 0) & 0x0f) * 4);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(internetChecksum(header), 10);
}

function writeChecksum(ip: IpFields, segment: Buffer, at: number, checksum: Checksum): void {
  if (checksum === 'none') return;
  const pseudo = Buffer.concat([
    Ip.parse(ip.source).toBytes(),
    Ip.parse(ip.destination).toBytes(),
    Buffer.from([0, ip.protocol, segment.length >>> 8, segment.length & 0xff]),
  ]);
  if (checksum === 'partial') {
    segment.writeUInt16BE(~internetChecksum(pseudo) & 0xffff, at);
    return;
  }
  const right = internetChecksum(Buffer.concat([pseudo, segment]));
  const sent = right === 0 && ip.protocol === UDP ? 0xffff : right;
  segment.writeUInt16BE(checksum === 'wrong' ? sent ^ 0x0101 : sent, at);
}

function ipv4Header(fields: IpFields, transport: Buffer): Buffer {
  const options = fields.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(header.length + transport.length, 2);
  header.writeUInt16BE((fields.id ?? 0) & 0xffff, 4);
  header.writeUInt16BE(fields.fragment ?? DONT_FRAGMENT, 6);
  header[8] = fields.ttl ?? 64;
  header[9] = fields.protocol;
  header.set(Ip.parse(fields.source).toBytes(), 12);
  header.set(Ip.parse(fields.destination).toBytes(), 16);
  header.set(options, 20);
  repairIpv4(header);
  return header;
}

function ipv6Header(fields: IpFields, transport: Buffer): Buffer {
  const extensions = fields.extensions?.bytes ?? Buffer.alloc(0);
  const header = Buffer.alloc(40);
  header.writeUInt32BE(((6 << 28) | ((fields.tos ?? 0) << 20) | (fields.flowLabel ?? 0)) >>> 0, 0);
  header.writeUInt16BE(extensions.length + transport.length, 4);
  header[6] = fields.extensions?.first ?? fields.protocol;
  header[7] = fields.ttl ?? 64;
  header.set(Ip.parse(fields.source).toBytes(), 8);
  header.set(Ip.parse(fields.destination).toBytes(), 24);
  return Buffer.concat([header, extensions]);
}
