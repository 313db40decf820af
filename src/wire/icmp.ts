import type { Ip } from '../net/ip.ts';
import { internetChecksum } from './checksum.ts';
import { uint16 } from './ip-packet.ts';

const PROTOCOL_ICMP = 1;
const TYPE_UNREACHABLE = 3;
const CODE_NET = 0;
const CODE_FRAGMENTATION_NEEDED = 4;
const TYPE_ECHO_REQUEST = 8;
/** Bytes of the offending packet that are quoted: its header and 8 bytes (RFC 792). */
const QUOTED_PAYLOAD = 8;
const TTL = 64;

/**
 * The ICMP "net unreachable" (type 3 code 0) that answers an IPv4 packet, as a whole IPv4 packet from `source`:
 *
 *     | IPv4 header (20) | type 3 | code | checksum | 0 (2) | MTU (2) | offending header | 8 bytes of its payload |
 *
 * `undefined` where RFC 1122 3.2.2 forbids an answer: about ICMP errors, about fragments but the first, to or from
 * multicast and broadcast, to the unspecified address. Of ICMP only echo requests are answered, because people ping
 * (flannel answers no ICMP at all): any other type may be an error, and two errors could answer each other for ever.
 *
 * @param offending a packet that parseIpPacket has accepted as IPv4
 */
export function netUnreachable(offending: Uint8Array, source: Ip): Uint8Array | undefined {
  return unreachable(offending, source, CODE_NET, 0);
}

/**
 * "Fragmentation needed" (type 3 code 4) with the MTU to keep to (RFC 1191), under the same rules. Whether the packet
 * says "don't fragment" makes no difference: nobody fragments it on its behalf, and this is how its sender learns of it.
 */
export function fragmentationNeeded(offending: Uint8Array, source: Ip, mtu: number): Uint8Array | undefined {
  return unreachable(offending, source, CODE_FRAGMENTATION_NEEDED, mtu);
}

function unreachable(offending: Uint8Array, source: Ip, code: number, mtu: number): Uint8Array | undefined {
  if ((uint16(offending, 6) & 0x1fff) !== 0) return undefined;
  const headerLength = ((offending[0] ?? 0) & 0x0f) * 4;
  if (offending[9] === PROTOCOL_ICMP && offending[headerLength] !== TYPE_ECHO_REQUEST) return undefined;
  const firstSourceByte = offending[12] ?? 0;
  const firstDestinationByte = offending[16] ?? 0;
  if (firstSourceByte === 0 || firstSourceByte >= 224 || firstDestinationByte >= 224) return undefined;

  const quoted = offending.subarray(0, Math.min(offending.length, headerLength + QUOTED_PAYLOAD));
  const packet = new Uint8Array(20 + 8 + quoted.length);
  packet[0] = 0x45;
  packet[1] = 0xc0; // precedence "internetwork control": RFC 1812 4.3.2.5
  putUint16(packet, 2, packet.length);
  packet[8] = TTL;
  packet[9] = PROTOCOL_ICMP;
  packet.set(source.toBytes(), 12);
  packet.set(offending.subarray(12, 16), 16);
  putUint16(packet, 10, internetChecksum(packet.subarray(0, 20)));
  packet[20] = TYPE_UNREACHABLE;
  packet[21] = code;
  putUint16(packet, 26, mtu);
  packet.set(quoted, 28);
  putUint16(packet, 22, internetChecksum(packet.subarray(20)));
  return packet;
}

function putUint16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value & 0xff;
}
