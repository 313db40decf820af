import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { parseIpPacket, uint16 } from '../../../src/wire/ip-packet.ts';
import { udpPacket } from '../../support/packets.ts';

const v4 = udpPacket({ source: '10.5.1.1', destination: '10.5.2.7', payload: 'abc' });
const v6 = udpPacket({ source: 'fd00::1', destination: 'fd00::2', payload: 'abc' });

describe('parseIpPacket', () => {
  test.each([
    ['IPv4', v4, 4, '10.5.1.1', '10.5.2.7'],
    ['IPv6', v6, 6, 'fd00::1', 'fd00::2'],
  ] as const)('%s: length and addresses', (_what, packet, family, source, destination) => {
    const parsed = parseIpPacket(packet);
    if (typeof parsed === 'string') throw new Error(parsed);
    expect(parsed).toMatchObject({ family, length: packet.length });
    expect(Ip.fromBytes(family, packet, parsed.sourceOffset).toString()).toBe(source);
    expect(Ip.fromBytes(family, packet, parsed.destinationOffset).toString()).toBe(destination);
  });

  test.each([v4, v6])('bytes behind the packet are not of it; every shorter piece is truncated', (packet) => {
    expect(parseIpPacket(Buffer.concat([packet, Buffer.alloc(9)]))).toMatchObject({ length: packet.length });
    for (let length = 0; length < packet.length; length++) {
      expect(parseIpPacket(packet.subarray(0, length))).toBe('truncated');
    }
  });

  test('a header that contradicts itself is truncated', () => {
    const shortHeader = Buffer.from(v4);
    shortHeader[0] = 0x44;
    expect(parseIpPacket(shortHeader)).toBe('truncated');
    const shortTotal = Buffer.from(v4);
    shortTotal.writeUInt16BE(19, 2);
    expect(parseIpPacket(shortTotal)).toBe('truncated');
  });

  test('other versions', () => {
    for (const version of [0, 1, 5, 7, 15])
      expect(parseIpPacket(Uint8Array.of(version << 4))).toBe('bad-version');
  });

  test('whatever the bytes: no error, and a length that is there', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom(0x40, 0x45, 0x4f, 0x60),
        (bytes, first) => {
          if (bytes.length > 0) bytes[0] = first;
          const parsed = parseIpPacket(bytes);
          if (typeof parsed !== 'string') expect(parsed.length).toBeLessThanOrEqual(bytes.length);
        },
      ),
    );
  });
});

test('uint16 is big-endian, and reads zero past the end', () => {
  expect(uint16(Uint8Array.of(0x12, 0x34), 0)).toBe(0x1234);
  expect(uint16(Uint8Array.of(0x12), 0)).toBe(0x1200);
});
