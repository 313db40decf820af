import type { Ip } from '../../net/ip.ts';
import { fragmentationNeeded, netUnreachable } from '../../wire/icmp.ts';
import { noRoute, packetTooBig } from '../../wire/icmpv6.ts';
import { firstSegment } from '../../wire/segment.ts';
import type { DropReason, EngineConfig } from '../datapath.ts';
import type { OutboundPacket } from './forwarding.ts';
import type { TokenBucket } from './token-bucket.ts';

type Source = Pick<EngineConfig, 'icmpSources' | 'mtu'>;

/**
 * The ICMP error that tells the sender of a dropped packet why, of all segments the first. `undefined`: it gets none,
 * because the reason has no ICMP error, there is no address of its family to send from, the RFCs forbid it, or too many
 * were sent.
 */
export function answerTo(
  packet: OutboundPacket,
  reason: DropReason,
  { icmpSources, mtu }: Source,
  budget: TokenBucket,
): Uint8Array | undefined {
  if (reason !== 'out-no-route' && reason !== 'out-too-big') return undefined;
  const source = icmpSources.find((ip) => ip.family === packet.family);
  if (source === undefined) return undefined;
  const offending = packet.whole === undefined ? packet.bytes : firstSegment(packet.whole);
  const answer =
    packet.family === 4 ? ipv4(offending, reason, source, mtu) : ipv6(offending, reason, source, mtu);
  // What gets no answer costs none of the budget.
  return answer !== undefined && budget.take() ? answer : undefined;
}

type Answered = 'out-no-route' | 'out-too-big';

function ipv4(offending: Uint8Array, reason: Answered, source: Ip, mtu: number): Uint8Array | undefined {
  return reason === 'out-no-route'
    ? netUnreachable(offending, source)
    : fragmentationNeeded(offending, source, mtu);
}

function ipv6(offending: Uint8Array, reason: Answered, source: Ip, mtu: number): Uint8Array | undefined {
  return reason === 'out-no-route' ? noRoute(offending, source) : packetTooBig(offending, source, mtu);
}
