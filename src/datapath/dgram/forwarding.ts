import { parseIpPacket } from '../../wire/ip-packet.ts';
import type { DropReason } from '../datapath.ts';
import type { ForwardingTable, NextHop, Peer } from './forwarding-table.ts';

/*
 * What happens to one packet: a function of the packet, the table and the configuration, and of nothing else. `length`
 * is where the packet ends by its own header; bytes beyond it are padding and go no further.
 */

export interface Drop {
  readonly kind: 'drop';
  readonly reason: DropReason;
}

export type OutboundVerdict = { readonly kind: 'send'; readonly to: NextHop; readonly length: number } | Drop;
export type InboundVerdict =
  | { readonly kind: 'deliver'; readonly from: Peer; readonly length: number }
  | Drop;

export interface ForwardingRules {
  readonly mtu: number;
  readonly strictSource: boolean;
}

/** A packet that the kernel has routed into the TUN. */
export function decideOutbound(
  packet: Uint8Array,
  table: ForwardingTable,
  { mtu }: ForwardingRules,
): OutboundVerdict {
  const parsed = parseIpPacket(packet);
  if (parsed === 'truncated') return drop('out-truncated');
  if (parsed === 'bad-version') return drop('out-bad-version');
  if (parsed.length > mtu) return drop('out-too-big');
  const to = table.nextHops.lookup(parsed.family, packet, parsed.destinationOffset);
  return to === undefined ? drop('out-no-route') : { kind: 'send', to, length: parsed.length };
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
