import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { internetChecksum } from '../../../src/wire/checksum.ts';
import { completeChecksum, firstSegment, readSuperPacket, segments } from '../../../src/wire/segment.ts';
import { NEEDS_CSUM, PLAIN, type VirtioHeader } from '../../../src/wire/virtio-header.ts';
import { udpPacket } from '../../support/packets.ts';
import {
  checksumsAreRight,
  dataSegment,
  ipOptions,
  superPacket,
  tcpPacket,
  transportOf,
} from './tcp-packets.ts';

const FLOW = { source: '10.5.1.7', destination: '10.5.2.7' };
const FLOW6 = { source: 'fd00:1::7', destination: 'fd00:2::7' };
const [FIN, PSH, ACK, CWR] = [0x01, 0x08, 0x10, 0x80];

function cut(bytes: Uint8Array, header: VirtioHeader): Buffer[] | undefined {
  const whole = readSuperPacket(bytes, header);
  return whole && segments(whole).map((each) => Buffer.from(each));
}

describe('segments', () => {
  test('are what the sender would have made without the offload, each', () => {
    fc.assert(
      fc.property(
        dataSegment,
        ipOptions,
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 100, max: 3100 }),
        fc.constantFrom(ACK, ACK | PSH, ACK | FIN, ACK | PSH | FIN | CWR, ACK | CWR),
        (common, options, payload, size, flags) => {
          const fields = { ...common, ipOptions: options };
          const { bytes, header } = superPacket({ ...fields, payload, flags }, size);
          const count = Math.ceil(payload.length / size);
          const expected = Array.from({ length: count }, (_, index) => {
            const notHere = (index > 0 ? CWR : 0) | (index < count - 1 ? FIN | PSH : 0);
            return tcpPacket({
              ...fields,
              payload: payload.subarray(index * size, (index + 1) * size),
              sequence: ((fields.sequence ?? 0) + index * size) % 2 ** 32,
              id: ((fields.id ?? 0) + index) % 65_536,
              flags: flags & ~notHere,
            });
          });
          expect(cut(bytes, header)).toEqual(expected);
          expect(expected.every(checksumsAreRight)).toBe(true);
          const whole = readSuperPacket(bytes, header);
          if (whole === undefined) throw new Error('not accepted');
          expect(Buffer.from(firstSegment(whole))).toEqual(expected[0]);
          expect(whole.largest).toBe(expected[0]?.length);
        },
      ),
    );
  });

  test('of a packet of 65 535 bytes', () => {
    const { bytes, header } = superPacket({ ...FLOW, payload: Buffer.alloc(65_495, 0xff) }, 1460);
    const made = cut(bytes, header);
    expect(made).toHaveLength(45);
    expect(made?.every(checksumsAreRight)).toBe(true);
  });

  test('behind an IPv6 extension header', () => {
    const plain = superPacket({ ...FLOW6, payload: Buffer.alloc(1500, 'x') }, 1000);
    const extension = Buffer.from([6, 0, 1, 4, 0, 0, 0, 0]);
    const bytes = Buffer.concat([plain.bytes.subarray(0, 40), extension, plain.bytes.subarray(40)]);
    bytes[6] = 60;
    bytes.writeUInt16BE(bytes.length - 40, 4);
    const made = cut(bytes, { ...plain.header, checksumStart: 48 });
    expect(made?.map((each) => [each.length, each.readUInt16BE(4)])).toEqual([
      [1068, 1028],
      [568, 528],
    ]);
    // Without the extension header, they are segments like any others.
    const bare = made?.map((each) => Buffer.concat([each.subarray(0, 40), each.subarray(48)]));
    const expected = cut(plain.bytes, plain.header);
    expect(bare?.map((each) => each.subarray(40))).toEqual(expected?.map((each) => each.subarray(40)));
  });

  test('need not be many, and the last may be as long as the others', () => {
    for (const length of [1, 999, 1000, 2000]) {
      const { bytes, header } = superPacket({ ...FLOW, payload: Buffer.alloc(length, 'x') }, 1000);
      expect(cut(bytes, header)).toHaveLength(Math.ceil(length / 1000));
    }
  });
});

describe('readSuperPacket refuses', () => {
  const good = superPacket({ ...FLOW, payload: Buffer.alloc(3000) }, 1000);
  const good6 = superPacket({ ...FLOW6, payload: Buffer.alloc(3000) }, 1000);
  const withByte = (place: number, byte: number) => {
    const bytes = Buffer.from(good.bytes);
    bytes[place] = byte;
    return bytes;
  };

  test.each([
    ['another family', good.bytes, { gsoType: 4 }],
    ['the other family', good6.bytes, { ...good6.header, gsoType: 1 }],
    ['UDP, which was not asked for', good.bytes, { gsoType: 5 }],
    ['a type of a flag alone', good.bytes, { gsoType: 0x80 }],
    ['segments of nothing', good.bytes, { gsoSize: 0 }],
    ['a checksum that is said to be complete', good.bytes, { flags: 0 }],
    ['a checksum elsewhere', good.bytes, { checksumOffset: 6 }],
    ['TCP before the end of the IP header', good.bytes, { checksumStart: 16 }],
    ['TCP behind the IPv4 header', good.bytes, { checksumStart: 24 }],
    ['TCP within the IPv6 header', good6.bytes, { ...good6.header, checksumStart: 20 }],
    ['TCP past the end', good6.bytes, { ...good6.header, checksumStart: 3041 }],
    ['a TCP header that is too short', withByte(32, 0x40), {}],
    ['a TCP header that is longer than the packet', good.bytes.subarray(0, 50), {}],
    ['no payload', good.bytes.subarray(0, 40), {}],
    ['headers of more than 512 bytes', good6.bytes, { ...good6.header, checksumStart: 512 }],
  ])('%s', (what, bytes, change) => {
    const packet = what.includes('longer') ? Buffer.from(bytes) : bytes;
    if (what.includes('longer')) packet[32] = 0x80;
    expect(readSuperPacket(packet, { ...good.header, ...change })).toBeUndefined();
  });

  test('no bytes with an error', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 120 }),
        fc.constantFrom(0x45, 0x46, 0x4f, 0x60),
        fc.nat(130),
        fc.integer({ min: 1, max: 65_535 }),
        (bytes, first, checksumStart, gsoSize) => {
          bytes[0] = first;
          const gsoType = first === 0x60 ? 4 : 1;
          const header = { ...good.header, gsoType, checksumStart, gsoSize };
          const made = cut(bytes, header);
          if (made !== undefined) expect(made.length).toBeGreaterThan(0);
        },
      ),
    );
  });
});

describe('completeChecksum', () => {
  test('of UDP over either family', () => {
    for (const addresses of [FLOW, FLOW6]) {
      for (const payload of ['', 'odd', 'even']) {
        const whole = tcpPacket({ ...addresses, payload: Buffer.from(payload) });
        const transport = transportOf(whole);
        const { bytes, header } = superPacket({ ...addresses, payload: Buffer.from(payload) }, 1);
        expect(
          completeChecksum(bytes, {
            ...PLAIN,
            flags: NEEDS_CSUM,
            checksumStart: transport,
            checksumOffset: 16,
          }),
        ).toBe(true);
        expect(bytes).toEqual(whole);
        expect(header.checksumStart).toBe(transport);
      }
    }
  });

  test('that is zero is all ones to UDP, and zero to TCP', () => {
    const bytes = udpPacket({ ...FLOW, payload: Buffer.alloc(20) });
    // What makes the sum of all words all ones.
    bytes.writeUInt16BE(internetChecksum(bytes.subarray(20)), 46);
    const header = { ...PLAIN, flags: NEEDS_CSUM, checksumStart: 20 };
    const tcp = Buffer.from(bytes);
    expect(completeChecksum(bytes, { ...header, checksumOffset: 6 })).toBe(true);
    expect(bytes.readUInt16BE(26)).toBe(0xffff);
    expect(completeChecksum(tcp, { ...header, checksumOffset: 16 })).toBe(true);
    expect(tcp.readUInt16BE(36)).toBe(0);
  });

  test('outside of the packet is refused; where none is needed nothing is touched', () => {
    const bytes = udpPacket({ ...FLOW, payload: 'x' });
    const before = Buffer.from(bytes);
    const header = { ...PLAIN, flags: NEEDS_CSUM, checksumStart: 20, checksumOffset: bytes.length - 21 };
    expect(completeChecksum(bytes, header)).toBe(false);
    expect(completeChecksum(bytes, { ...header, flags: 0 })).toBe(true);
    expect(bytes).toEqual(before);
  });
});
