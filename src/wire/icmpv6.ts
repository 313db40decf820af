import type { Ip } from '../net/ip.ts';
import { addWords, fold, viewOf } from './checksum.ts';
import { IPV6_HEADER, uint16 } from './ip-packet.ts';

const PROTOCOL_ICMPV6 = 58;
const TYPE_UNREACHABLE = 1;
const TYPE_TOO_BIG = 2;
const TYPE_ECHO_REQUEST = 128;
const ICMP_HEADER = 8;
/** The answer with all it quotes: as much as every IPv6 link carries (RFC 4443 2.4(c)). */
const ANSWER_MAX = 1280;
const HOP_LIMIT = 64;
const SOURCE = 8;
const DESTINATION = 24;

/** Extension headers of the form | next header u8 | length u8, in 8 bytes, without the first 8 | … |. */
const LONG_HEADERS = new Set([0 /* hop-by-hop */, 43 /* routing */, 60 /* destination options */]);
const FRAGMENT = 44;
/** Its length is in units of 4 bytes, less two (RFC 4302 2.2). */
const AUTHENTICATION = 51;
const FRAGMENT_HEADER = 8;

/**
 * The ICMPv6 "no route to destination" (type 1 code 0) that answers an IPv6 packet, as a whole IPv6 packet from `source`:
 *
 *     | IPv6 header (40) | type | code 0 | checksum | MTU or 0 (4) | as much of the offending packet as fits |
 *
 * `undefined` where RFC 4443 2.4(e) forbids an answer: about ICMPv6 errors, to multicast and unspecified sources, about
 * packets to multicast. As with IPv4, of ICMPv6 only echo requests are answered, and of fragments only the first; and
 * a packet whose upper layer cannot be found is not answered, for it may be an error.
 *
 * @param offending a packet that parseIpPacket has accepted as IPv6
 */
export function noRoute(offending: Uint8Array, source: Ip): Uint8Array | undefined {
  if (offending[DESTINATION] === 0xff) return undefined;
  return mayBeAnswered(offending) ? answer(offending, source, TYPE_UNREACHABLE, 0) : undefined;
}

/** "Packet too big" (type 2) with the MTU to keep to, under the same rules, but also about packets to multicast. */
export function packetTooBig(offending: Uint8Array, source: Ip, mtu: number): Uint8Array | undefined {
  return mayBeAnswered(offending) ? answer(offending, source, TYPE_TOO_BIG, mtu) : undefined;
}

function mayBeAnswered(offending: Uint8Array): boolean {
  const unspecified = offending.subarray(SOURCE, DESTINATION).every((byte) => byte === 0);
  if (unspecified || offending[SOURCE] === 0xff) return false;
  const upper = upperLayer(offending);
  if (upper === undefined) return false;
  return upper.protocol !== PROTOCOL_ICMPV6 || offending[upper.offset] === TYPE_ECHO_REQUEST;
}

/** `undefined`: not in this packet, which ends before it or is a fragment other than the first. */
function upperLayer(packet: Uint8Array): { readonly protocol: number; readonly offset: number } | undefined {
  let protocol = packet[6] ?? 0;
  let offset = IPV6_HEADER;
  while (LONG_HEADERS.has(protocol) || protocol === FRAGMENT || protocol === AUTHENTICATION) {
    if (offset + FRAGMENT_HEADER > packet.length) return undefined;
    if (protocol === FRAGMENT && uint16(packet, offset + 2) >> 3 !== 0) return undefined;
    const unit = protocol === FRAGMENT ? 0 : protocol === AUTHENTICATION ? 4 : 8;
    const length = 8 + (packet[offset + 1] ?? 0) * unit;
    protocol = packet[offset] ?? 0;
    offset += length;
  }
  return { protocol, offset };
}

function answer(offending: Uint8Array, source: Ip, type: number, mtu: number): Uint8Array {
  const quoted = offending.subarray(0, ANSWER_MAX - IPV6_HEADER - ICMP_HEADER);
  const packet = new Uint8Array(IPV6_HEADER + ICMP_HEADER + quoted.length);
  const view = viewOf(packet);
  const length = packet.length - IPV6_HEADER;
  packet[0] = 0x60;
  view.setUint16(4, length);
  packet[6] = PROTOCOL_ICMPV6;
  packet[7] = HOP_LIMIT;
  packet.set(source.toBytes(), SOURCE);
  packet.set(offending.subarray(SOURCE, DESTINATION), DESTINATION);
  packet[IPV6_HEADER] = type;
  view.setUint32(IPV6_HEADER + 4, mtu);
  packet.set(quoted, IPV6_HEADER + ICMP_HEADER);
  // The pseudo-header (RFC 8200 8.1): both addresses, length and protocol; then the message.
  view.setUint16(IPV6_HEADER + 2, ~fold(addWords(PROTOCOL_ICMPV6 + length, view, SOURCE, packet.length)));
  return packet;
}
