import type { DropReason } from '../../../../src/datapath/datapath.ts';
import {
  type Checksum,
  DONT_FRAGMENT,
  type Made,
  type TcpFields,
  tcpPacket,
  udpPacketOf,
} from './packet-maker.ts';
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

/** A datagram from outside. */
export interface Arriving {
  readonly bytes: Buffer;
  /** Index of who sends it: 0 and 1 are peers, 2 is a stranger. */
  readonly from: number;
  /** Bytes of the packet in it: what is behind is padding. */
  readonly length: number;
  /** What becomes of it: the kernel forwards it, the kernel drops it, or the engine does. */
  readonly fate: 'forwarded' | 'discarded' | DropReason;
}

export const STRANGER_INDEX = 2;
/** Segments that differ too often are never joined: this often one differs from what would follow on. */
const DEVIATION = 0.12;
/** Bytes of headers at the most: IPv6 with three extension headers of 40 together, TCP with all its options. */
const HEADERS = 140;

interface Flow {
  readonly family: Family;
  readonly from: number;
  readonly addresses: Addresses;
  readonly udp: boolean;
  readonly ports: { readonly sourcePort: number; readonly destinationPort: number };
  readonly size: number;
  fields: ReturnType<typeof ipFields>;
  tcp: Omit<TcpFields, 'sourcePort' | 'destinationPort'>;
}

/** Seeded datagrams of many flows, most of which follow on each other, and some of which nearly do. */
export class InboundTraffic {
  readonly #random: Random;
  readonly #mtu: number;
  #flows: Flow[] = [];
  #port = 10_000;

  constructor(random: Random, mtu: number) {
    this.#random = random;
    this.#mtu = mtu;
  }

  /** Datagrams that arrive together, of some `bytes` in all. */
  burst(bytes: number, most: number): Arriving[] {
    const random = this.#random;
    const interleaved = random.chance(0.5) ? 1 : random.between(2, 24);
    this.#flows = Array.from({ length: interleaved }, () => this.#newFlow());
    const burst: Arriving[] = [];
    for (let total = 0; total < bytes && burst.length < most; ) {
      const arriving = this.#next();
      burst.push(arriving);
      total += arriving.bytes.length + 800;
      if (random.chance(0.02)) this.#flows[random.between(0, interleaved - 1)] = this.#newFlow();
    }
    return burst;
  }

  #next(): Arriving {
    const random = this.#random;
    if (random.chance(0.88)) return this.#ofFlow(random.pick(this.#flows));
    const family = random.pick([4, 6] as const);
    const from = random.between(0, 1);
    if (random.chance(0.4)) return this.#odd(family, from);
    return this.#bad(family, from);
  }

  #odd(family: Family, from: number): Arriving {
    const random = this.#random;
    // Of the addresses of a flow, if there is one of this peer and family: it may be of that flow.
    const flow = this.#flows.find((each) => each.family === family && each.from === from);
    const made = oddPacket(
      random,
      family,
      flow?.addresses ?? this.#addresses(family, from),
      Math.min(this.#mtu, 3000),
    );
    return whole(made, from);
  }

  #bad(family: Family, from: number): Arriving {
    const random = this.#random;
    const addresses = this.#addresses(family, from);
    const ports = { sourcePort: 7, destinationPort: 7 };
    const plain = (at: Addresses = addresses, length = random.between(0, 1200)) =>
      udpPacketOf(ipFields(random, at), ports, random.bytes(length), 'full');
    switch (random.between(0, 7)) {
      case 0:
        return { ...whole(plain(), STRANGER_INDEX), fate: 'in-unknown-peer' };
      case 1: {
        const other = this.#addresses(family, 1 - from).source;
        const nobody = family === 4 ? '192.0.2.1' : 'fd00:99::1';
        return {
          ...whole(plain({ ...addresses, source: random.pick([other, nobody]) }), from),
          fate: 'in-wrong-source',
        };
      }
      case 2: {
        const elsewhere = family === 4 ? '10.5.4.1' : 'fd00:5:4::1';
        return {
          ...whole(plain({ ...addresses, destination: elsewhere }), from),
          fate: 'in-wrong-destination',
        };
      }
      case 3: {
        const { bytes } = plain();
        return {
          ...bare(bytes.subarray(0, random.between(0, bytes.length - 1)), from),
          fate: 'in-truncated',
        };
      }
      case 4: {
        const { bytes } = plain();
        bytes[0] = (random.pick([0, 1, 5, 7, 15]) << 4) | 5;
        return { ...bare(bytes, from), fate: 'in-bad-version' };
      }
      case 5: {
        if (this.#mtu > 60_000) return whole(plain(), from);
        const excess = random.pick([1, 2, 1000]);
        return {
          ...whole(plain(addresses, this.#mtu - (family === 4 ? 28 : 48) + excess), from),
          fate: 'in-too-big',
        };
      }
      case 6: {
        const { bytes } = plain(this.#addresses(4, from));
        bytes[10] = (bytes[10] ?? 0) ^ 0x55;
        return { ...bare(bytes, from), fate: 'discarded' };
      }
      default: {
        const made = plain();
        const padded = Buffer.concat([made.bytes, random.bytes(random.between(1, 60))]);
        return { bytes: padded, from, length: made.bytes.length, fate: 'forwarded' };
      }
    }
  }

  #ofFlow(flow: Flow): Arriving {
    const random = this.#random;
    const before = { fields: flow.fields, tcp: flow.tcp };
    let size = flow.size;
    let checksum: Checksum = 'full';
    let { fields, tcp } = flow;
    let broken = false;
    let negative = false;
    if (random.chance(DEVIATION)) {
      switch (random.between(0, flow.udp ? 7 : 16)) {
        case 0:
          size = random.pick([0, 1, Math.max(0, size - 1), size + 1, random.between(0, size)]);
          break;
        case 1:
          checksum = flow.udp ? random.pick(['wrong', 'none']) : 'wrong';
          break;
        case 2:
          fields = { ...fields, ttl: random.between(2, 255) };
          break;
        case 3:
          fields = { ...fields, tos: random.between(0, 255) };
          break;
        case 4:
          fields = { ...fields, id: random.between(0, 0xffff), flowLabel: random.between(0, 0xfffff) };
          break;
        case 5:
          fields = { ...fields, fragment: (fields.fragment ?? 0) ^ DONT_FRAGMENT };
          break;
        case 6:
          broken = true;
          break;
        case 7:
          fields = withMore(random, flow, fields);
          break;
        case 8:
          tcp = { ...tcp, sequence: tcp.sequence + random.between(1, 3000) };
          break;
        case 9:
          tcp = { ...tcp, acknowledgment: random.word() };
          break;
        case 10:
          tcp = { ...tcp, window: random.between(0, 0xffff) };
          break;
        case 11:
          tcp = { ...tcp, options: tcpOptions(random) };
          break;
        case 12:
          tcp = { ...tcp, urgent: random.between(1, 0xffff) };
          break;
        case 13:
          tcp = { ...tcp, reserved: random.between(1, 15) };
          break;
        case 14:
          negative = true;
          break;
        case 15:
          tcp = { ...tcp, flags: tcp.flags | 0x08 };
          break;
        default:
          tcp = { ...tcp, flags: random.between(0, 255) };
      }
    }
    const payload = random.bytes(Math.min(size, this.#mtu - HEADERS));
    const made = flow.udp
      ? udpPacketOf(fields, flow.ports, payload, checksum)
      : tcpPacket(fields, { ...tcp, ...flow.ports }, payload, checksum);
    if (negative && payload.length >= 2) writeNegativeZero(made, fields, { ...tcp, ...flow.ports }, payload);
    // Half of the deviations last: then what follows on them may be joined again.
    const base = random.chance(0.5) ? { fields, tcp } : before;
    const step = random.chance(0.9) ? 1 : random.between(0, 2);
    const sameId = (base.fields.fragment ?? 0) === DONT_FRAGMENT && flow.ports.sourcePort % 2 === 0;
    flow.fields = { ...without(base.fields), id: ((base.fields.id ?? 0) + (sameId ? 0 : step)) & 0xffff };
    flow.tcp = { ...base.tcp, flags: 0x10, sequence: (tcp.sequence + payload.length) >>> 0 };
    if (!broken || flow.family === 6) return whole(made, flow.from);
    made.bytes[11] = (made.bytes[11] ?? 0) ^ 0x33;
    return { ...bare(made.bytes, flow.from), fate: 'discarded' };
  }

  #newFlow(): Flow {
    const random = this.#random;
    const family = random.pick([4, 6] as const);
    const from = random.between(0, 1);
    const addresses = this.#addresses(family, from);
    const largest = this.#mtu - HEADERS;
    return {
      family,
      from,
      addresses,
      udp: random.chance(0.35),
      ports: { sourcePort: ++this.#port, destinationPort: 5001 },
      size: random.pick([1, 2, 8, 100, Math.min(largest, 1280), largest, random.between(1, largest)]),
      fields: ipFields(random, addresses),
      tcp: {
        sequence: random.chance(0.3) ? 0xfffffe00 : random.word(),
        acknowledgment: random.word(),
        flags: 0x10,
        options: tcpOptions(random),
        window: random.between(0, 0xffff),
      },
    };
  }

  #addresses(family: Family, from: number): Addresses {
    const source = this.#random.between(1, 3);
    const destination = this.#random.between(1, 3);
    return family === 4
      ? { source: `10.5.${2 + from}.${source}`, destination: `10.5.1.${10 + destination}` }
      : { source: `fd00:5:${2 + from}::${source}`, destination: `fd00:5:1::${10 + destination}` };
  }
}

/** A sum of zero has two forms in ones' complement: as all zeros it is sent, as all ones it is right too. */
function writeNegativeZero(made: Made, fields: Flow['fields'], tcp: TcpFields, payload: Buffer): void {
  payload.writeUInt16BE(0, 0);
  const trial = tcpPacket(fields, tcp, payload, 'full');
  payload.writeUInt16BE(trial.bytes.readUInt16BE(trial.transport + 16), 0);
  tcpPacket(fields, tcp, payload, 'full').bytes.copy(made.bytes);
  made.bytes.writeUInt16BE(0xffff, made.transport + 16);
}

function withMore(random: Random, flow: Flow, fields: Flow['fields']): Flow['fields'] {
  return flow.family === 4
    ? { ...fields, options: ipv4Options(random) }
    : { ...fields, extensions: ipv6Extensions(random, flow.udp ? 17 : 6) };
}

/** What joining looks behind only when it is not there. */
function without({ options: _options, extensions: _extensions, ...fields }: Flow['fields']): Flow['fields'] {
  return fields;
}

function whole({ bytes }: Made, from: number): Arriving {
  return bare(bytes, from);
}

function bare(bytes: Buffer, from: number): Arriving {
  return { bytes, from, length: bytes.length, fate: 'forwarded' };
}
