import {
  NEEDS_CSUM,
  PLAIN,
  VIRTIO_HEADER,
  type VirtioHeader,
  writeVirtioHeader,
} from '../../../../src/wire/virtio-header.ts';
import { type Checksum, type Made, tcpPacket, udpPacketOf } from './packet-maker.ts';
import type { Random } from './random.ts';
import {
  type Addresses,
  type Family,
  ipFields,
  ipv4Options,
  ipv6Extensions,
  oddPacket,
  tcpOptions,
} from './shapes.ts';

/** What is put into the TUN. */
export interface Injected {
  /** With the virtio header in front. */
  readonly bytes: Buffer;
  /** `sent`: it leaves whole, to a peer. `answered`: it may cost one of the ICMP errors, which are limited. */
  readonly fate: 'sent' | 'answered' | 'dropped';
  /** For people. */
  readonly what: string;
}

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const GSO_ECN = 0x80;
const CWR = 0x80;
const IP_MAX = 65_535;
/** Packets that one super packet is cut into at most: more of TCP show nothing new, more of UDP the kernel refuses. */
const SEGMENTS_MAX = { tcp: 600, udp: 128 } as const;

/** Seeded packets from the containers of a host. `mtu`: what the engine is configured with. */
export class OutboundTraffic {
  readonly #random: Random;
  readonly #mtu: number;

  constructor(random: Random, mtu: number) {
    this.#random = random;
    this.#mtu = mtu;
  }

  next(): Injected {
    const random = this.#random;
    const family = random.pick([4, 6] as const);
    const kind = random.between(0, 99);
    if (kind < 25) return this.#tcp(family);
    if (kind < 45) return this.#udp(family);
    if (kind < 70) return this.#superPacket(family, 'tcp');
    if (kind < 80) return this.#superPacket(family, 'udp');
    if (kind < 92)
      return injected(oddPacket(random, family, this.#toPeer(family), this.#mtu), PLAIN, 'odd', 'sent');
    return this.#garbage();
  }

  /** Packets that the sender is told about: of no route, or too large. */
  nextAnswered(): Injected {
    const random = this.#random;
    const family = random.pick([4, 6] as const);
    const tooBig = this.#mtu + 100 < IP_MAX && random.chance(0.5);
    const addresses = tooBig ? this.#toPeer(family) : this.#toNobody(family);
    if (tooBig && random.chance(0.5)) return this.#superPacket(family, 'tcp', 1, 'answered');
    const length = tooBig ? this.#mtu - 39 + random.between(0, 60) : random.between(0, 1400 - 60);
    if (!tooBig && random.chance(0.5))
      return injected(oddPacket(random, family, addresses, this.#mtu), PLAIN, 'odd, no route', 'answered');
    const payload = random.bytes(Math.max(length, tooBig ? this.#mtu - 27 : 0));
    const made = udpPacketOf(ipFields(random, addresses), this.#ports(), payload, 'full');
    return injected(made, PLAIN, tooBig ? 'UDP, too big' : 'UDP, no route', 'answered');
  }

  /** What comes after everything else, of a peer: nothing can be confused with it. */
  sentinel(destination: string, round: number): Buffer {
    const payload = Buffer.from(sentinelText(round));
    const made = udpPacketOf(
      { source: '10.5.1.250', destination },
      { sourcePort: 1, destinationPort: 1 },
      payload,
      'full',
    );
    return withHeader(made.bytes, PLAIN);
  }

  #tcp(family: Family): Injected {
    const random = this.#random;
    const options = tcpOptions(random);
    const headers = (family === 4 ? 20 : 40) + 20 + options.length;
    const payload = random.bytes(this.#size(this.#mtu - headers));
    const checksum: Checksum = random.pick(['full', 'partial', 'wrong']);
    const urgent = random.chance(0.2) ? random.between(0, 0xffff) : 0;
    const tcp = {
      ...this.#ports(),
      sequence: random.word(),
      acknowledgment: random.word(),
      flags: random.between(0, 255),
    };
    const made = tcpPacket(
      ipFields(random, this.#toPeer(family)),
      {
        ...tcp,
        options,
        urgent,
        reserved: random.pick([0, 0, random.between(0, 15)]),
        window: random.between(0, 0xffff),
      },
      payload,
      checksum,
    );
    return injected(made, headerOf(made, checksum, 16), `TCP ${checksum} ${payload.length}`, 'sent');
  }

  #udp(family: Family): Injected {
    const random = this.#random;
    const payload = random.bytes(this.#size(this.#mtu - (family === 4 ? 28 : 48)));
    const checksum: Checksum = random.pick(['full', 'partial', 'wrong', 'none']);
    const fields = ipFields(random, this.#toPeer(family));
    const ports = this.#ports();
    if (payload.length >= 2 && random.chance(0.2))
      makeSumZero(payload, () => udpPacketOf(fields, ports, payload, 'full'));
    const made = udpPacketOf(fields, ports, payload, checksum);
    return injected(made, headerOf(made, checksum, 6), `UDP ${checksum} ${payload.length}`, 'sent');
  }

  /** @param excess bytes by which each packet is larger than the MTU at least */
  #superPacket(
    family: Family,
    transport: 'tcp' | 'udp',
    excess = 0,
    fate: Injected['fate'] = 'sent',
  ): Injected {
    const random = this.#random;
    const protocol = transport === 'tcp' ? 6 : 17;
    const tcpOption = transport === 'tcp' ? tcpOptions(random) : Buffer.alloc(0);
    const options = family === 4 && random.chance(0.1) ? ipv4Options(random) : undefined;
    const extensions = family === 6 && random.chance(0.15) ? ipv6Extensions(random, protocol) : undefined;
    const unfragmented = extensions === undefined || !hasFragmentHeader(extensions);
    const ipLength = family === 4 ? 20 + (options?.length ?? 0) : 40 + (extensions?.bytes.length ?? 0);
    const headers = ipLength + (transport === 'tcp' ? 20 + tcpOption.length : 8);
    const most = this.#mtu - headers;
    const size =
      excess > 0
        ? Math.min(most + excess + random.between(0, 20), 60_000)
        : random.pick([1, 2, 7, 8, 100, most - 1, most, random.between(1, most)]);
    const room = Math.min(IP_MAX - headers, size * SEGMENTS_MAX[transport]);
    const whole = Math.floor(room / size);
    const total = Math.min(
      room,
      random.pick([
        size + 1,
        2 * size - 1,
        2 * size,
        2 * size + 1,
        whole * size,
        whole * size - 1,
        room,
        random.between(1, room),
      ]),
    );
    const payload = random.bytes(Math.max(total, 1));
    const fields = {
      ...ipFields(random, this.#toPeer(family)),
      ...(options === undefined ? {} : { options }),
      ...(extensions === undefined || !unfragmented ? {} : { extensions }),
    };
    const flags = random.chance(0.5) ? 0x10 : random.between(0, 255);
    const made =
      transport === 'tcp'
        ? tcpPacket(
            fields,
            {
              ...this.#ports(),
              sequence: random.chance(0.2) ? 0xffffff00 : random.word(),
              acknowledgment: random.word(),
              flags,
              options: tcpOption,
              urgent: random.chance(0.1) ? 5 : 0,
            },
            payload,
            'partial',
          )
        : udpPacketOf(fields, this.#ports(), payload, 'partial');
    const ecn = transport === 'tcp' && (flags & CWR) !== 0 ? GSO_ECN : 0;
    const gsoType = transport === 'udp' ? GSO_UDP_L4 : (family === 4 ? GSO_TCPV4 : GSO_TCPV6) | ecn;
    const header = { ...headerOf(made, 'partial', transport === 'tcp' ? 16 : 6), gsoType, gsoSize: size };
    return injected(
      made,
      header,
      `super ${transport} ${family} ${payload.length}/${size} flags ${flags}`,
      fate,
    );
  }

  #garbage(): Injected {
    const random = this.#random;
    const bytes = random.bytes(random.pick([1, 2, 4, 19, 20, 39, 40, random.between(1, 1300)]));
    const version = random.between(0, 15);
    bytes[0] = (version << 4) | random.between(0, 15);
    if (version !== 4 && version !== 6)
      return { bytes: withHeader(bytes, PLAIN), fate: 'dropped', what: 'bad version' };
    if (version === 4 && random.chance(0.5))
      bytes[0] = 0x40 | random.between(0, 4); // shorter than any header
    else if (bytes.length >= 6)
      bytes.writeUInt16BE(bytes.length + random.between(1, 1000), version === 4 ? 2 : 4);
    return { bytes: withHeader(bytes, PLAIN), fate: 'dropped', what: `truncated IPv${version}` };
  }

  #size(most: number): number {
    const random = this.#random;
    const last = Math.min(most, 60_000);
    return Math.max(
      0,
      random.pick([0, 1, 2, last - 1, last, random.between(0, last), random.between(0, Math.min(last, 200))]),
    );
  }

  #ports() {
    const random = this.#random;
    return { sourcePort: random.between(1000, 1003), destinationPort: random.between(2000, 2003) };
  }

  #toPeer(family: Family): Addresses {
    const random = this.#random;
    const source = random.between(1, 5);
    const destination = random.between(1, 5);
    const peer = random.pick([2, 3]);
    return family === 4
      ? { source: `10.5.1.${source}`, destination: `10.5.${peer}.${destination}` }
      : { source: `fd00:5:1::${source}`, destination: `fd00:5:${peer}::${destination}` };
  }

  #toNobody(family: Family): Addresses {
    const destination = this.#random.between(1, 200);
    return family === 4
      ? { source: '10.5.1.9', destination: `10.5.99.${destination}` }
      : { source: 'fd00:5:1::9', destination: `fd00:5:99::${destination}` };
  }
}

/** So that the sum over the datagram comes out as zero, which has to be sent as 0xffff (RFC 768). */
function makeSumZero(payload: Buffer, make: () => Made): void {
  payload.writeUInt16BE(0, 0);
  const { bytes, transport } = make();
  payload.writeUInt16BE(bytes.readUInt16BE(transport + 6), 0);
}

/** Of one length, so that all engines count the same bytes. */
export function sentinelText(round: number): string {
  return `sentinel ${String(round).padStart(6, '0')}`;
}

function hasFragmentHeader({ first, bytes }: { readonly first: number; readonly bytes: Buffer }): boolean {
  return (
    first === 44 || (first === 0 || first === 60 ? bytes.includes(Buffer.from([0, 0, 0, 1, 2, 3])) : false)
  );
}

function headerOf(made: Made, checksum: Checksum, checksumOffset: number): VirtioHeader {
  if (checksum !== 'partial') return PLAIN;
  return {
    flags: NEEDS_CSUM,
    gsoType: 0,
    headerLength: made.payload,
    gsoSize: 0,
    checksumStart: made.transport,
    checksumOffset,
  };
}

function injected(made: Made, header: VirtioHeader, what: string, fate: Injected['fate']): Injected {
  return { bytes: withHeader(made.bytes, header), fate, what };
}

function withHeader(packet: Buffer, header: VirtioHeader): Buffer {
  const bytes = Buffer.alloc(VIRTIO_HEADER + packet.length);
  writeVirtioHeader(header, bytes);
  bytes.set(packet, VIRTIO_HEADER);
  return bytes;
}
