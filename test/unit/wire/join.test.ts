import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { join } from '../../../src/wire/join.ts';
import { readSuperPacket, segments } from '../../../src/wire/segment.ts';
import { readVirtioHeader, VIRTIO_HEADER } from '../../../src/wire/virtio-header.ts';
import { udpPacket } from '../../support/packets.ts';
import { dataSegment, superPacketBytes, type TcpFields, tcpPacket } from './tcp-packets.ts';

const FLOW = { source: '10.5.1.7', destination: '10.5.2.7' };
const FLOW6 = { source: 'fd00:1::7', destination: 'fd00:2::7' };
const [ACK, PSH] = [0x10, 0x08];
const SIZE = 100;

/** Segment `index` of a flow. */
const nth = (index: number, change: TcpFields | Partial<TcpFields> = {}): Buffer =>
  tcpPacket({ ...FLOW, payload: Buffer.alloc(SIZE, index), sequence: index * SIZE, id: index, ...change });

const written = (packets: readonly Uint8Array[], from: (index: number) => unknown = () => 'peer') =>
  join(packets.map((bytes, index) => ({ bytes, from: from(index) }))).map(({ pieces }) =>
    Buffer.concat(pieces),
  );

/** How many packets each write carries. */
const runs = (packets: readonly Uint8Array[], from?: (index: number) => unknown) =>
  join(packets.map((bytes, index) => ({ bytes, from: from?.(index) }))).map((write) => write.packets.length);

const alone = (packet: Uint8Array) => Buffer.concat([Buffer.alloc(VIRTIO_HEADER), packet]);

describe('join', () => {
  const payloads = fc.tuple(
    fc.integer({ min: 8, max: 200 }),
    fc.integer({ min: 2, max: 64 }),
    fc.double({ min: 0.01, max: 1, noNaN: true }),
  );

  test('is the reverse of segments', () => {
    fc.assert(
      fc.property(
        dataSegment,
        payloads,
        fc.constantFrom(ACK, ACK | PSH),
        (common, [size, count, rest], flags) => {
          const length = size * (count - 1) + Math.max(1, Math.floor(size * rest));
          const payload = Uint8Array.from({ length }, (_, index) => (index * 7) % 256);
          const bytes = superPacketBytes({ ...common, payload, flags }, size);
          const whole = readSuperPacket(bytes.subarray(VIRTIO_HEADER), readVirtioHeader(bytes));
          if (whole === undefined) throw new Error('not accepted');
          const cut = segments(whole);
          expect(written(cut)).toEqual([bytes]);
        },
      ),
    );
  });

  test('and segments of join, whatever came: the same packets, and each flow in its order', () => {
    const step = fc.record({
      flow: fc.nat(2),
      v6: fc.boolean(),
      skip: fc.constantFrom(0, 0, 0, 0, 0, 100),
      flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | 0x01, 0x02),
      length: fc.constantFrom(SIZE, SIZE, SIZE, SIZE, 50, 150, 0),
      bad: fc.constantFrom(false, false, false, false, false, true),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const next = new Map<string, { sequence: number; id: number }>();
        const packets = steps.map(({ flow, v6, skip, flags, length, bad }) => {
          const state = next.get(`${flow} ${v6}`) ?? { sequence: 0xffff_f000, id: 65_530 };
          const sequence = (state.sequence + skip) % 2 ** 32;
          const packet = tcpPacket({
            ...(v6 ? FLOW6 : FLOW),
            sourcePort: 1000 + flow,
            payload: Buffer.alloc(length, flow),
            sequence,
            id: state.id,
            flags,
          });
          next.set(`${flow} ${v6}`, { sequence: (sequence + length) % 2 ** 32, id: (state.id + 1) % 65_536 });
          if (bad) packet[packet.length - 1] = ~(packet.at(-1) ?? 0) & 0xff;
          return packet;
        });
        const after = written(packets).flatMap((bytes) => {
          const header = readVirtioHeader(bytes);
          const packet = bytes.subarray(VIRTIO_HEADER);
          if (header.gsoType === 0) return [packet];
          const whole = readSuperPacket(packet, header);
          if (whole === undefined) throw new Error('not accepted');
          return segments(whole).map((each) => Buffer.from(each));
        });
        const flowOf = (packet: Buffer) =>
          `${packet[0]} ${packet.readUInt16BE(packet[0] === 0x45 ? 20 : 40)}`;
        const byFlow = (all: Buffer[]) =>
          Object.fromEntries(
            [...new Set(all.map(flowOf))]
              .sort()
              .map((flow) => [flow, all.filter((each) => flowOf(each) === flow)]),
          );
        expect(byFlow(after)).toEqual(byFlow(packets));
      }),
    );
  });

  test('one packet alone is written as it came', () => {
    expect(written([nth(0)])).toEqual([alone(nth(0))]);
    expect(written([])).toEqual([]);
  });

  test.each<[string, Partial<TcpFields>]>([
    ['another acknowledgment', { acknowledgment: 9 }],
    ['another window', { window: 9 }],
    ['options', { options: Buffer.from([1, 1, 1, 1]) }],
    ['a gap', { sequence: SIZE + 1 }],
    ['an overlap', { sequence: SIZE - 1 }],
    ['another TOS', { tos: 3 }],
    ['another TTL', { ttl: 63 }],
    ['no DF', { dontFragment: false }],
    ['an ID that is not the next', { id: 2 }],
    ['more payload', { payload: Buffer.alloc(SIZE + 1) }],
    ['no payload', { payload: Buffer.alloc(0) }],
    ['FIN', { flags: ACK | 0x01 }],
    ['SYN', { flags: 0x02 }],
    ['RST', { flags: ACK | 0x04 }],
    ['URG', { flags: ACK | 0x20 }],
    ['ECE', { flags: ACK | 0x40 }],
    ['CWR', { flags: ACK | 0x80 }],
    ['no ACK', { flags: 0 }],
  ])('%s ends the run', (_what, change) => {
    const packets = [nth(0), nth(1, change)];
    expect(written(packets)).toEqual(packets.map(alone));
  });

  test.each<[string, (packet: Buffer) => void]>([
    ['a wrong TCP checksum', (packet) => packet.writeUInt16BE(packet.readUInt16BE(36) ^ 1, 36)],
    ['a wrong IPv4 checksum', (packet) => packet.writeUInt16BE(packet.readUInt16BE(10) ^ 1, 10)],
    ['a byte of the payload', (packet) => packet.writeUInt8(0xee, 90)],
  ])('%s is never repaired', (_what, spoil) => {
    for (const place of [0, 1]) {
      const packets = [nth(0), nth(1)];
      const spoiled = packets[place];
      if (spoiled !== undefined) spoil(spoiled);
      expect(written(packets)).toEqual(packets.map(alone));
    }
  });

  test('the ID may stay as it is with DF, and only with DF', () => {
    expect(runs([nth(0), nth(1, { id: 0 }), nth(2, { id: 1 })])).toEqual([3]);
    expect(runs([nth(0, { dontFragment: false }), nth(1, { id: 0, dontFragment: false })])).toEqual([1, 1]);
    expect(runs([nth(0, { dontFragment: false }), nth(1, { dontFragment: false })])).toEqual([2]);
  });

  test('a shorter segment, and PSH, are the last', () => {
    const short = { payload: Buffer.alloc(SIZE - 1, 1) };
    expect(runs([nth(0), nth(1, short), nth(2, { sequence: 2 * SIZE - 1 })])).toEqual([2, 1]);
    expect(runs([nth(0), nth(1, { flags: ACK | PSH }), nth(2)])).toEqual([2, 1]);
    expect(runs([nth(0, { flags: ACK | PSH }), nth(1), nth(2)])).toEqual([1, 2]);
  });

  test('64 segments, and 65 535 bytes, are the most', () => {
    expect(runs(Array.from({ length: 130 }, (_, index) => nth(index)))).toEqual([64, 64, 2]);
    const large = (index: number, size: number) =>
      tcpPacket({ ...FLOW, payload: Buffer.alloc(size), sequence: index * size, id: index });
    // 5 × 13 099 + 40 = 65 535
    expect(runs([0, 1, 2, 3, 4].map((index) => large(index, 13_099)))).toEqual([5]);
    expect(runs([0, 1, 2, 3, 4].map((index) => large(index, 13_100)))).toEqual([4, 1]);
  });

  test('two senders are never joined', () => {
    expect(runs([nth(0), nth(1), nth(2)], (index) => (index === 1 ? 'b' : 'a'))).toEqual([1, 1, 1]);
  });

  test('flows that are mixed are joined each for itself', () => {
    const other = (index: number) => nth(index, { sourcePort: 5 });
    const udp = udpPacket(FLOW);
    expect(runs([nth(0), other(0), udp, nth(1), other(1)])).toEqual([1, 2, 2]);
  });

  test('what may be of any flow closes all runs', () => {
    const fragment = Buffer.from(nth(5));
    fragment.writeUInt16BE(0x2000, 6);
    const options = nth(5, { ipOptions: Buffer.from([1, 1, 1, 1]) });
    const extension = Buffer.from(nth(5, FLOW6));
    extension[6] = 60;
    for (const packet of [fragment, options, extension]) {
      expect(runs([nth(0), nth(0, { sourcePort: 5 }), nth(1), packet, nth(2), nth(3)])).toEqual([2, 1, 1, 2]);
    }
  });

  test('more than 16 flows at once: the oldest run is closed', () => {
    const flows = Array.from({ length: 17 }, (_, flow) => nth(0, { sourcePort: 1 + flow }));
    expect(runs([...flows, nth(1, { sourcePort: 17 }), nth(1, { sourcePort: 1 })])).toHaveLength(18);
    expect(runs([...flows.slice(0, 16), nth(1, { sourcePort: 1 })])).toHaveLength(16);
  });

  test('whatever the bytes, nothing is lost', () => {
    const bytes = fc.tuple(fc.nat(200), fc.nat(255), fc.nat(120)).map(([place, byte, length]) => {
      const packet = Buffer.from(nth(1).subarray(0, 20 + length));
      packet[place % packet.length] = byte;
      packet[0] = 0x45;
      return packet;
    });
    fc.assert(
      fc.property(fc.array(bytes), (packets) => {
        const sum = runs(packets).reduce((total, count) => total + count, 0);
        expect(sum).toBe(packets.length);
      }),
    );
  });
});
