/*
 * What precedes each packet of a TUN with IFF_VNET_HDR, both ways: struct virtio_net_hdr (virtio 1.2, 5.1.6), numbers
 * little-endian.
 *
 *  0         1          2             4            6                8                 10
 * | flags u8 | type u8  | hdr_len u16 | gso_size u16 | csum_start u16 | csum_offset u16 |
 *
 * flags, NEEDS_CSUM: the checksum at csum_start + csum_offset holds the sum of the pseudo-header alone, and all from
 * csum_start to the end of the packet has to be added to it.
 * type, other than NONE: the packet is many, of gso_size bytes of payload each, the last of the rest.
 * type, GSO_ECN: a bit beside the type; the first of the many has CWR. The packet's own header says it too.
 * hdr_len: all headers. A hint, which nobody has to trust.
 */
export const VIRTIO_HEADER = 10;

export const NEEDS_CSUM = 1;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_ECN = 0x80;

export interface VirtioHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerLength: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

/** Of a packet that is one, and complete. */
export const PLAIN: VirtioHeader = {
  flags: 0,
  gsoType: GSO_NONE,
  headerLength: 0,
  gsoSize: 0,
  checksumStart: 0,
  checksumOffset: 0,
};

/** @param bytes at least VIRTIO_HEADER of them */
export function readVirtioHeader(bytes: Uint8Array): VirtioHeader {
  const [flags = 0, gsoType = 0] = bytes;
  return {
    flags,
    gsoType,
    headerLength: littleEndian(bytes, 2),
    gsoSize: littleEndian(bytes, 4),
    checksumStart: littleEndian(bytes, 6),
    checksumOffset: littleEndian(bytes, 8),
  };
}

export function writeVirtioHeader(header: VirtioHeader, bytes: Uint8Array): void {
  bytes[0] = header.flags;
  bytes[1] = header.gsoType;
  putLittleEndian(bytes, 2, header.headerLength);
  putLittleEndian(bytes, 4, header.gsoSize);
  putLittleEndian(bytes, 6, header.checksumStart);
  putLittleEndian(bytes, 8, header.checksumOffset);
}

function littleEndian(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
}

function putLittleEndian(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value & 0xff;
  bytes[offset + 1] = value >>> 8;
}
