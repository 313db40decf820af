import type { Family } from '../net/ip.ts';
import { addWords, fold, viewOf } from './checksum.ts';
import { IPV6_HEADER } from './ip-packet.ts';
import {
  CWR,
  FIN,
  PSH,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_HEADER,
  TCP_OFFSET,
  TCP_SEQUENCE,
} from './tcp-header.ts';
import { GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, type VirtioHeader } from './virtio-header.ts';

/*
 * From what a TUN with a virtio header gives to what goes over the wire: checksums are completed, and a super packet of
 * TCP is cut into the segments that it stands for.
 *
 *     | IP | TCP | payload 1        | payload 2        | payload 3 |
 *
 *     | IP | TCP | payload 1        |   IP: length, IPv4 ID and checksum of its own
 *     | IP | TCP | payload 2        |   TCP: sequence and checksum of its own; CWR on the first alone (RFC 3168 6.1.2),
 *     | IP | TCP | payload 3 |          FIN and PSH on the last alone
 */

/** Of a super packet that was found to be right. */
export interface SuperPacket {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly family: Family;
  /** Offset of the TCP header. */
  readonly transport: number;
  /** Bytes of all headers: the offset of the payload. */
  readonly headerLength: number;
  /** Bytes of payload in each segment but the last. */
  readonly size: number;
  /** 1 or more. */
  readonly count: number;
  /** Bytes of the largest segment with its headers. */
  readonly largest: number;
}

/** Enough for every IP and TCP header with all options, and for IPv6 extension headers of a sensible length. */
const HEADERS_MAX = 512;
/** Where UDP has its checksum. */
const UDP_CHECKSUM = 6;

export function isSuperPacket(header: VirtioHeader): boolean {
  return header.gsoType !== GSO_NONE;
}

/**
 * Checks that a super packet is one, and that all its lengths fit together. `undefined` when not.
 * @param bytes a packet that parseIpPacket has accepted, up to the end that its header tells
 */
export function readSuperPacket(bytes: Uint8Array, header: VirtioHeader): SuperPacket | undefined {
  const family = familyOf(bytes);
  const { gsoSize: size, checksumStart: transport } = header;
  if ((header.gsoType & ~GSO_ECN) !== (family === 4 ? GSO_TCPV4 : GSO_TCPV6)) return undefined;
  if ((header.flags & NEEDS_CSUM) === 0 || header.checksumOffset !== TCP_CHECKSUM || size === 0)
    return undefined;

  // TCP is directly behind IPv4 and its options. Behind IPv6 there may be extension headers.
  const ipHeader = family === 4 ? ((bytes[0] ?? 0) & 0x0f) * 4 : IPV6_HEADER;
  if (family === 4 ? transport !== ipHeader : transport < ipHeader) return undefined;
  if (transport + TCP_HEADER > bytes.length) return undefined;
  const tcpHeader = ((bytes[transport + TCP_OFFSET] ?? 0) >> 4) * 4;
  const headerLength = transport + tcpHeader;
  if (tcpHeader < TCP_HEADER || headerLength > HEADERS_MAX || headerLength >= bytes.length) return undefined;

  const payload = bytes.length - headerLength;
  return {
    bytes,
    view: viewOf(bytes),
    family,
    transport,
    headerLength,
    size,
    count: Math.ceil(payload / size),
    largest: headerLength + Math.min(payload, size),
  };
}

/** All segments, in order. They lie in memory of their own. */
export function segments(whole: SuperPacket): Uint8Array[] {
  const { bytes, headerLength, count, size } = whole;
  // One piece of memory for all: cheaper than one each, and the garbage of a moment.
  const memory = Buffer.allocUnsafeSlow(bytes.length + (count - 1) * headerLength);
  const view = viewOf(memory);
  const made: Uint8Array[] = [];
  for (let index = 0, start = 0; index < count; index++) {
    const end = Math.min(start + headerLength + size, memory.length);
    writeSegment(whole, index, memory, view, start, end);
    made.push(memory.subarray(start, end));
    start = end;
  }
  return made;
}

/** The first of them alone, for who needs no more. */
export function firstSegment(whole: SuperPacket): Uint8Array {
  const memory = Buffer.allocUnsafeSlow(whole.largest);
  writeSegment(whole, 0, memory, viewOf(memory), 0, memory.length);
  return memory;
}

function writeSegment(
  whole: SuperPacket,
  index: number,
  memory: Uint8Array,
  view: DataView,
  start: number,
  end: number,
): void {
  const { bytes, headerLength, size, family } = whole;
  const payload = headerLength + index * size;
  memory.set(bytes.subarray(0, headerLength), start);
  memory.set(bytes.subarray(payload, payload + (end - start - headerLength)), start + headerLength);
  if (family === 4) writeIpv4(whole, index, view, start, end);
  else view.setUint16(start + 4, end - start - IPV6_HEADER);
  writeTcp(whole, index, view, start + whole.transport, end);
}

function writeIpv4(whole: SuperPacket, index: number, view: DataView, start: number, end: number): void {
  view.setUint16(start + 2, end - start);
  view.setUint16(start + 4, (whole.view.getUint16(4) + index) & 0xffff);
  view.setUint16(start + 10, 0);
  view.setUint16(start + 10, ~fold(addWords(0, view, start, start + whole.transport)));
}

function writeTcp(whole: SuperPacket, index: number, view: DataView, start: number, end: number): void {
  const { transport, size, count } = whole;
  view.setUint32(start + TCP_SEQUENCE, whole.view.getUint32(transport + TCP_SEQUENCE) + index * size);
  let flags = view.getUint8(start + TCP_FLAGS);
  if (index > 0) flags &= ~CWR;
  if (index < count - 1) flags &= ~(FIN | PSH);
  view.setUint8(start + TCP_FLAGS, flags);
  // The checksum field of the whole holds the sum of the pseudo-header, with the length of the whole, which is taken
  // off again. The kernel has made that sum with the final destination, which a routing header may hold.
  const wholeLength = whole.bytes.length - transport;
  const pseudo = whole.view.getUint16(transport + TCP_CHECKSUM) + (~wholeLength & 0xffff) + (end - start);
  view.setUint16(start + TCP_CHECKSUM, 0);
  view.setUint16(start + TCP_CHECKSUM, ~fold(addWords(pseudo, view, start, end)));
}

/**
 * Completes, in place, the checksum of a packet that is one. False when the header points outside of the packet, or
 * into its IP header, which has been read already.
 * @param bytes a packet that parseIpPacket has accepted, up to the end that its header tells
 */
export function completeChecksum(bytes: Uint8Array, header: VirtioHeader): boolean {
  if ((header.flags & NEEDS_CSUM) === 0) return true;
  const { checksumStart: start, checksumOffset } = header;
  const ipHeader = familyOf(bytes) === 4 ? ((bytes[0] ?? 0) & 0x0f) * 4 : IPV6_HEADER;
  if (start < ipHeader || start > bytes.length || start + checksumOffset + 2 > bytes.length) return false;
  const view = viewOf(bytes);
  const checksum = ~fold(addWords(0, view, start, bytes.length)) & 0xffff;
  // To UDP, zero says that there is no checksum (RFC 768).
  view.setUint16(
    start + checksumOffset,
    checksum === 0 && checksumOffset === UDP_CHECKSUM ? 0xffff : checksum,
  );
  return true;
}

function familyOf(bytes: Uint8Array): Family {
  return (bytes[0] ?? 0) >> 4 === 4 ? 4 : 6;
}
