import { addWords, fold, viewOf } from './checksum.ts';
import { IPV4_HEADER, IPV6_HEADER, uint16 } from './ip-packet.ts';
import {
  ACK,
  PROTOCOL_TCP,
  PSH,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_HEADER,
  TCP_OFFSET,
  TCP_SEQUENCE,
  TCP_URGENT,
  TCP_WINDOW,
} from './tcp-header.ts';
import { GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, VIRTIO_HEADER, writeVirtioHeader } from './virtio-header.ts';

/*
 * From what came over the wire to what a TUN with a virtio header takes: consecutive TCP segments of one flow become one
 * super packet, the reverse of segment.ts. Nothing may be joined that could not be cut into the same packets again, and
 * nothing whose checksum is wrong, for it would be given a right one.
 *
 *     | IP | TCP | payload 1 |
 *     | IP | TCP | payload 2 |   →   | virtio header | IP | TCP | payload 1 | payload 2 | payload 3 |
 *     | IP | TCP | payload 3 |
 *
 * Runs of several flows may be open at once. What does not belong to a run but to its flow closes it, so that a flow
 * keeps its order; of what flow a fragment is, or a packet with options or extension headers, is not known: it closes
 * all.
 */

/** A packet that came in. */
export interface Arrival {
  /** A packet that parseIpPacket has accepted, up to the end that its header tells. */
  readonly bytes: Uint8Array;
  /** Who sent it. Packets of two senders are never joined. */
  readonly from: unknown;
}

/** One write into the TUN. */
export interface TunWrite<T> {
  /** What it carries: one packet, or the segments that were joined. */
  readonly packets: readonly T[];
  /** The bytes to write, one after the other; the payloads stay where they are. The first is the virtio header. */
  readonly pieces: readonly Uint8Array[];
}

/** What fits into one receive with UDP_GRO, and into one send with UDP_SEGMENT: all engines keep to it. */
export const SEGMENTS_MAX = 64;
const IP_LENGTH_MAX = 65_535;
const PLAIN_HEADER = new Uint8Array(VIRTIO_HEADER);
const IPV4_CHECKSUM = 10;
/** The other form of a checksum of zero: right, and nobody writes it. What is written anew would be the usual one. */
const NEGATIVE_ZERO = 0xffff;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;
/** More flows than that at once, and the oldest run is closed: a bound on the work, not on correctness. */
const RUNS_MAX = 16;
const PROTOCOL_UDP = 17;
const PROTOCOL_ICMPV6 = 58;

interface Segment {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Offset of the TCP header: 20 or 40, which tells the family too. */
  readonly transport: number;
  readonly headerLength: number;
  readonly payload: number;
}

interface Run<T> {
  readonly from: unknown;
  readonly first: Segment;
  last: Segment;
  readonly packets: T[];
  readonly payloads: Uint8Array[];
  /** Bytes of the IP packet that it makes. */
  length: number;
}

/** What is to be written for the packets of a batch, in order. */
export function join<T extends Arrival>(batch: readonly T[]): TunWrite<T>[] {
  const writes: TunWrite<T>[] = [];
  const open = new Map<string, Run<T>>();
  const close = (flow: string, run: Run<T>) => {
    open.delete(flow);
    writes.push(writeOf(run));
  };
  for (const arrival of batch) {
    const flow = flowOf(arrival.bytes);
    if (flow === 'unknown') for (const [each, run] of open) close(each, run);
    if (flow === 'unknown' || flow === 'not-tcp') {
      writes.push(alone(arrival));
      continue;
    }
    const segment = readSegment(arrival.bytes);
    const run = open.get(flow);
    if (run !== undefined && segment !== undefined && continues(run, segment, arrival.from)) {
      add(run, segment, arrival);
      if (isComplete(run)) close(flow, run);
      continue;
    }
    if (run !== undefined) close(flow, run);
    if (segment === undefined || hasPush(segment)) {
      writes.push(alone(arrival));
      continue;
    }
    const [oldest] = open;
    if (oldest !== undefined && open.size === RUNS_MAX) close(...oldest);
    open.set(flow, begin(segment, arrival));
  }
  for (const [flow, run] of open) close(flow, run);
  return writes;
}

/**
 * `unknown`: it may be of any flow. `not-tcp`: it is of none that is joined. A flow is its addresses and ports, which
 * lie side by side, as text.
 */
function flowOf(bytes: Uint8Array): string {
  const v4 = isIpv4(bytes);
  const protocol = bytes[v4 ? 9 : 6] ?? 0;
  if (v4) {
    const fragment = uint16(bytes, 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
    if (bytes[0] !== 0x45 || fragment !== 0) return 'unknown';
    if (protocol !== PROTOCOL_TCP) return 'not-tcp';
  } else if (protocol !== PROTOCOL_TCP) {
    // All others may be extension headers, and TCP be behind them.
    return protocol === PROTOCOL_UDP || protocol === PROTOCOL_ICMPV6 ? 'not-tcp' : 'unknown';
  }
  const ports = (v4 ? IPV4_HEADER : IPV6_HEADER) + 4;
  if (bytes.length < ports) return 'not-tcp';
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', v4 ? 12 : 8, ports);
}

/** A packet of a known flow, as a segment that may be in a run. `undefined` when it may not. */
function readSegment(bytes: Uint8Array): Segment | undefined {
  const view = viewOf(bytes);
  const v4 = isIpv4(bytes);
  const transport = v4 ? IPV4_HEADER : IPV6_HEADER;
  if (bytes.length < transport + TCP_HEADER) return undefined;
  if (v4 && fold(addWords(0, view, 0, IPV4_HEADER)) !== 0xffff) return undefined;
  if (v4 && view.getUint16(IPV4_CHECKSUM) === NEGATIVE_ZERO) return undefined;
  if (view.getUint16(transport + TCP_CHECKSUM) === NEGATIVE_ZERO) return undefined;
  const flags = view.getUint8(transport + TCP_FLAGS);
  const offset = view.getUint8(transport + TCP_OFFSET);
  const reserved = offset & 0x0f;
  if ((flags & ~PSH) !== ACK || reserved !== 0 || view.getUint16(transport + TCP_URGENT) !== 0)
    return undefined;
  const headerLength = transport + (offset >> 4) * 4;
  const payload = bytes.length - headerLength;
  if (headerLength < transport + TCP_HEADER || payload <= 0) return undefined;
  const sum = pseudoHeader(view, transport, bytes.length - transport);
  if (fold(addWords(sum, view, transport, bytes.length)) !== 0xffff) return undefined;
  return { bytes, view, transport, headerLength, payload };
}

/** The sum of addresses, protocol and length (RFC 9293 3.1, RFC 8200 8.1). The addresses end where TCP begins. */
function pseudoHeader(view: DataView, transport: number, length: number): number {
  return addWords(PROTOCOL_TCP + length, view, transport === IPV4_HEADER ? 12 : 8, transport);
}

/** Whether a segment of the same flow can be the next of the run. */
function continues<T>({ from, first, last, length }: Run<T>, next: Segment, sender: unknown): boolean {
  const sequence = last.view.getUint32(last.transport + TCP_SEQUENCE) + last.payload;
  return (
    from === sender &&
    next.view.getUint32(next.transport + TCP_SEQUENCE) === sequence >>> 0 &&
    next.payload <= first.payload &&
    length + next.payload <= IP_LENGTH_MAX &&
    next.headerLength === first.headerLength &&
    sameIpHeader(first, last, next) &&
    sameTcpHeader(first, next)
  );
}

function sameIpHeader(first: Segment, last: Segment, next: Segment): boolean {
  // IPv6: version, traffic class and flow label; hop limit. The rest is the length, and TCP.
  if (first.transport === IPV6_HEADER) return same(first, next, 0, 4) && same(first, next, 7, 8);
  // IPv4: version and TOS; DF and the bit beside it; TTL. Without fragments the ID means nothing (RFC 6864), and some leave it as it is.
  if (!same(first, next, 0, 2) || !same(first, next, 6, 9)) return false;
  const step = (next.view.getUint16(4) - last.view.getUint16(4)) & 0xffff;
  return step === 1 || (step === 0 && (first.view.getUint16(6) & DONT_FRAGMENT) !== 0);
}

/** The flags are ACK, with or without PSH, by readSegment; and a run with PSH is complete. */
function sameTcpHeader(first: Segment, next: Segment): boolean {
  const { transport, headerLength } = first;
  return (
    same(first, next, transport + TCP_ACKNOWLEDGMENT, transport + TCP_FLAGS) &&
    same(first, next, transport + TCP_WINDOW, transport + TCP_CHECKSUM) &&
    same(first, next, transport + TCP_HEADER, headerLength)
  );
}

function isIpv4(bytes: Uint8Array): boolean {
  return (bytes[0] ?? 0) >> 4 === 4;
}

function same(one: Segment, other: Segment, start: number, end: number): boolean {
  for (let offset = start; offset < end; offset++) {
    if (one.bytes[offset] !== other.bytes[offset]) return false;
  }
  return true;
}

function begin<T extends Arrival>(segment: Segment, arrival: T): Run<T> {
  return {
    from: arrival.from,
    first: segment,
    last: segment,
    packets: [arrival],
    payloads: [segment.bytes.subarray(segment.headerLength)],
    length: segment.bytes.length,
  };
}

function add<T>(run: Run<T>, segment: Segment, arrival: T): void {
  run.last = segment;
  run.packets.push(arrival);
  run.payloads.push(segment.bytes.subarray(segment.headerLength));
  run.length += segment.payload;
}

/** A shorter segment can only be the last, and so can one with PSH, which the super packet's last one gets. */
function isComplete<T>({ first, last, packets }: Run<T>): boolean {
  return last.payload < first.payload || hasPush(last) || packets.length === SEGMENTS_MAX;
}

function hasPush({ view, transport }: Segment): boolean {
  return (view.getUint8(transport + TCP_FLAGS) & PSH) !== 0;
}

function alone<T extends Arrival>(arrival: T): TunWrite<T> {
  return { packets: [arrival], pieces: [PLAIN_HEADER, arrival.bytes] };
}

function writeOf<T extends Arrival>(run: Run<T>): TunWrite<T> {
  const [only] = run.packets;
  if (only !== undefined && run.packets.length === 1) return alone(only);
  return { packets: run.packets, pieces: [headersOf(run), ...run.payloads] };
}

/** The virtio header, and the headers of the first segment as those of the whole. */
function headersOf<T>({ first, last, length }: Run<T>): Uint8Array {
  const { transport, headerLength, payload } = first;
  const v4 = transport === IPV4_HEADER;
  const bytes = new Uint8Array(VIRTIO_HEADER + headerLength);
  writeVirtioHeader(
    {
      flags: NEEDS_CSUM,
      gsoType: v4 ? GSO_TCPV4 : GSO_TCPV6,
      headerLength,
      gsoSize: payload,
      checksumStart: transport,
      checksumOffset: TCP_CHECKSUM,
    },
    bytes,
  );
  const packet = bytes.subarray(VIRTIO_HEADER);
  packet.set(first.bytes.subarray(0, headerLength));
  const view = viewOf(packet);
  if (v4) {
    view.setUint16(2, length);
    view.setUint16(10, 0);
    view.setUint16(10, ~fold(addWords(0, view, 0, IPV4_HEADER)));
  } else {
    view.setUint16(4, length - IPV6_HEADER);
  }
  view.setUint8(transport + TCP_FLAGS, last.view.getUint8(last.transport + TCP_FLAGS));
  view.setUint16(transport + TCP_CHECKSUM, fold(pseudoHeader(view, transport, length - transport)));
  return bytes;
}
