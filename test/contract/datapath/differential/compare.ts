import { DONT_FRAGMENT, repairIpv4 } from './packet-maker.ts';

const MORE_OR_OFFSET = 0x3fff;
const HOP_LIMIT = { 4: 8, 6: 7 } as const;

/** What the kernel makes of a packet that it forwards: one hop less. */
export function forwarded(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  const at = isV4(copy) ? HOP_LIMIT[4] : HOP_LIMIT[6];
  copy[at] = (copy[at] ?? 0) - 1;
  if (isV4(copy)) repairIpv4(copy);
  return copy;
}

/**
 * Leaves out the one thing that joining may change, and says so in join.h: the identification of IPv4 packets that are
 * no fragments and must not become any.
 */
export function comparable(packet: Buffer): Buffer {
  if (
    !isV4(packet) ||
    packet.length < 20 ||
    (packet.readUInt16BE(6) & (DONT_FRAGMENT | MORE_OR_OFFSET)) !== DONT_FRAGMENT
  )
    return packet;
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(0, 4);
  repairIpv4(copy);
  return copy;
}

/**
 * The packets of each flow, in order, as text: addresses, protocol, and ports where they can be told. A packet whose
 * ports cannot be told may be of any flow between its addresses, and is in all of them: it must not change places with
 * any.
 */
export function byFlow(packets: readonly Buffer[]): Map<string, string[]> {
  const flows = new Map<string, string[]>();
  const keys = packets.map(keyOf);
  for (const { addresses, ports } of keys) flows.set(`${addresses} ${ports ?? '-'}`, []);
  for (const [index, packet] of packets.entries()) {
    const key = keys[index];
    if (key === undefined) continue;
    const text = packet.toString('hex');
    if (key.ports !== undefined) flows.get(`${key.addresses} ${key.ports}`)?.push(text);
    else for (const [name, flow] of flows) if (name.startsWith(`${key.addresses} `)) flow.push(text);
  }
  return flows;
}

function keyOf(packet: Buffer): { readonly addresses: string; readonly ports: string | undefined } {
  const v4 = isV4(packet);
  const addresses = packet.toString('hex', v4 ? 12 : 8, v4 ? 20 : 40);
  const protocol = packet[v4 ? 9 : 6] ?? 0;
  const plain = v4 ? packet[0] === 0x45 && (packet.readUInt16BE(6) & MORE_OR_OFFSET) === 0 : true;
  if (!plain || (!v4 && ![6, 17, 58].includes(protocol))) return { addresses, ports: undefined };
  const start = v4 ? 20 : 40;
  const hasPorts = (protocol === 6 || protocol === 17) && packet.length >= start + 4;
  return { addresses, ports: `${protocol} ${hasPorts ? packet.toString('hex', start, start + 4) : ''}` };
}

function isV4(packet: Buffer): boolean {
  return (packet[0] ?? 0) >> 4 === 4;
}
