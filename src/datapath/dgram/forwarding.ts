import type { Family } from '../../net/ip.ts';
import { parseIpPacket } from '../../wire/ip-packet.ts';
import { completeChecksum, isSuperPacket, readSuperPacket, type SuperPacket } from '../../wire/segment.ts';
import type { VirtioHeader } from '../../wire/virtio-header.ts';
import type { DropReason } from '../datapath.ts';
import type { ForwardingTable, NextHop, Peer } from './forwarding-table.ts';

/*
 * What happens to one packet: a function of the packet, the table and the configuration, and of nothing else.
 */

export interface Drop {
  readonly kind: 'drop';
  readonly reason: DropReason;
}

/** `pass-over`: the kernel's own talk on the link, which is for nobody beyond it. */
export type OutboundVerdict =
  | { readonly kind: 'send'; readonly to: NextHop }
  | { readonly kind: 'pass-over' }
  | Drop;
/** `length` is where the packet ends by its own header; bytes beyond it are padding and go no further. */
export type InboundVerdict =
  | { readonly kind: 'deliver'; readonly from: Peer; readonly length: number }
  | Drop;

export interface ForwardingRules {
  readonly mtu: number;
  readonly strictSource: boolean;
}

/** What one read of the TUN brought: one packet with its checksum completed, or a super packet. */
export interface OutboundPacket {
  readonly kind: 'packet';
  /** Up to the end that its header tells. */
  readonly bytes: Uint8Array;
  readonly family: Family;
  readonly destinationOffset: number;
  readonly whole: SuperPacket | undefined;
  /** Packets that it makes on the wire, and bytes of the largest of them. */
  readonly count: number;
  readonly largest: number;
}

/** @param bytes what came from the TUN; its checksum is completed in place */
export function readOutbound(bytes: Uint8Array, header: VirtioHeader): OutboundPacket | Drop {
  const parsed = parseIpPacket(bytes);
  if (parsed === 'truncated') return drop('out-truncated');
  if (parsed === 'bad-version') return drop('out-bad-version');
  const { family, destinationOffset, length } = parsed;
  const packet = bytes.subarray(0, length);
  const common = { kind: 'packet', bytes: packet, family, destinationOffset } as const;
  if (!isSuperPacket(header)) {
    if (!completeChecksum(packet, header)) return drop('out-truncated');
    return { ...common, whole: undefined, count: 1, largest: length };
  }
  const whole = readSuperPacket(packet, header);
  if (whole === undefined) return drop('out-truncated');
  return { ...common, whole, count: whole.count, largest: whole.largest };
}

/** A packet that the kernel has routed into the TUN. */
export function decideOutbound(
  packet: OutboundPacket,
  table: ForwardingTable,
  { mtu }: ForwardingRules,
): OutboundVerdict {
  if (packet.largest > mtu) return drop('out-too-big');
  const to = table.nextHops.lookup(packet.family, packet.bytes, packet.destinationOffset);
  if (to !== undefined) return { kind: 'send', to };
  return isForLinkOnly(packet) ? { kind: 'pass-over' } : drop('out-no-route');
}

/**
 * Multicast of link-local scope (RFC 4291 2.7, RFC 5771 4): with IPv6 on the device the kernel tells it which groups it
 * has joined (MLD), and a container's packet of this kind never leaves its bridge.
 */
function isForLinkOnly({ family, bytes, destinationOffset: at }: OutboundPacket): boolean {
  return family === 6
    ? bytes[at] === 0xff && ((bytes[at + 1] ?? 0) & 0x0f) <= 2
    : bytes[at] === 224 && bytes[at + 1] === 0 && bytes[at + 2] === 0;
}

/**
 * A datagram from the outside, where anybody may write anything.
 *
 * @param sender the outer source address as text, as a Peer has it. Its port says nothing: a NAT may change it.
 */
export function decideInbound(
  packet: Uint8Array,
  table: ForwardingTable,
  { mtu, strictSource }: ForwardingRules,
  sender: string,
): InboundVerdict {
  const from = table.peers.get(sender);
  if (from === undefined) return drop('in-unknown-peer');
  const parsed = parseIpPacket(packet);
  if (parsed === 'truncated') return drop('in-truncated');
  if (parsed === 'bad-version') return drop('in-bad-version');
  if (parsed.length > mtu) return drop('in-too-big');
  if (strictSource) {
    const back = table.nextHops.lookup(parsed.family, packet, parsed.sourceOffset);
    if (back?.peer !== from) return drop('in-wrong-source');
    if (table.local.lookup(parsed.family, packet, parsed.destinationOffset) === undefined) {
      return drop('in-wrong-destination');
    }
  }
  return { kind: 'deliver', from, length: parsed.length };
}

function drop(reason: DropReason): Drop {
  return { kind: 'drop', reason };
}
