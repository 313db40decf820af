import { Ip } from '../../src/net/ip.ts';
import { internetChecksum } from '../../src/wire/checksum.ts';

export interface UdpFields {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly payload?: Uint8Array | string;
}

const UDP = 17;

/** An IPv4 or IPv6 packet, by the family of its addresses, that holds a UDP datagram. */
export function udpPacket(fields: UdpFields): Buffer {
  const source = Ip.parse(fields.source);
  return source.family === 4 ? ipv4Packet(fields, UDP, udpDatagram(fields)) : ipv6Packet(fields);
}

/** An IPv4 packet with any payload. */
export function ipv4Packet(
  { source, destination }: Pick<UdpFields, 'source' | 'destination'>,
  protocol: number,
  payload: Uint8Array,
): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header[8] = 64;
  header[9] = protocol;
  header.set(Ip.parse(source).toBytes(), 12);
  header.set(Ip.parse(destination).toBytes(), 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

function ipv6Packet(fields: UdpFields): Buffer {
  const addresses = [Ip.parse(fields.source).toBytes(), Ip.parse(fields.destination).toBytes()];
  const datagram = udpDatagram(fields);
  // RFC 8200 8.1: over IPv6 the checksum is not optional, and covers this pseudo-header.
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(datagram.length, 0);
  tail[7] = UDP;
  datagram.writeUInt16BE(internetChecksum(Buffer.concat([...addresses, tail, datagram])) || 0xffff, 6);
  const header = Buffer.alloc(8);
  header[0] = 0x60;
  header.writeUInt16BE(datagram.length, 4);
  header[6] = UDP;
  header[7] = 64;
  return Buffer.concat([header, ...addresses, datagram]);
}

/** Without a checksum, which IPv4 allows. */
function udpDatagram({ sourcePort = 4000, destinationPort = 9, payload = '' }: UdpFields): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(8);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt16BE(8 + bytes.length, 4);
  return Buffer.concat([header, bytes]);
}
