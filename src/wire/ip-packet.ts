import type { Family } from '../net/ip.ts';

/*
 * IPv4 (RFC 791)                                       IPv6 (RFC 8200)
 *  0       8       16              31                   0       8       16              31
 * |ver|ihl| tos   |   total length   |                 |ver|class |      flow label       |
 * |      id       |flags|frag offset |                 | payload length |next hdr| hops   |
 * |  ttl  | proto |    checksum      |                 |          source (16)            |
 * |             source               |                 |        destination (16)         |
 * |           destination            |
 */
export const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;

/** What forwarding needs of a packet; the offsets are of the addresses in the bytes that were given. */
export interface IpPacket {
  readonly family: Family;
  /** Bytes of header and payload, as the header says. */
  readonly length: number;
  readonly sourceOffset: number;
  readonly destinationOffset: number;
}

/**
 * Reads the header of an IP packet. Nothing is trusted: the header's own lengths must fit in what is there. Bytes
 * beyond the packet's end are allowed (`length` tells where it ends).
 */
export function parseIpPacket(bytes: Uint8Array): IpPacket | 'truncated' | 'bad-version' {
  const first = bytes[0];
  if (first === undefined) return 'truncated';
  switch (first >> 4) {
    case 4: {
      const headerLength = (first & 0x0f) * 4;
      const length = uint16(bytes, 2);
      if (bytes.length < IPV4_HEADER || headerLength < IPV4_HEADER) return 'truncated';
      if (length < headerLength || length > bytes.length) return 'truncated';
      return { family: 4, length, sourceOffset: 12, destinationOffset: 16 };
    }
    case 6: {
      const length = IPV6_HEADER + uint16(bytes, 4);
      if (bytes.length < IPV6_HEADER || length > bytes.length) return 'truncated';
      return { family: 6, length, sourceOffset: 8, destinationOffset: 24 };
    }
    default:
      return 'bad-version';
  }
}

/** Big-endian; bytes past the end read as zero. */
export function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}
