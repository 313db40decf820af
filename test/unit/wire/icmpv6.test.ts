import { describe, expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { internetChecksum } from '../../../src/wire/checksum.ts';
import { noRoute, packetTooBig } from '../../../src/wire/icmpv6.ts';
import { parseIpPacket } from '../../../src/wire/ip-packet.ts';
import { udpPacket } from '../../support/packets.ts';

const ROUTER = Ip.parse('fd00:5:1::');
const pair = { source: 'fd00:5:1::7', destination: 'fd00:5:99::1' };
const offending = udpPacket({ ...pair, payload: 'what it said' });
/** With another next header, and extension headers and an upper layer of these bytes. */
const holding = (next: number, ...payload: number[]) => {
  const packet = Buffer.concat([offending.subarray(0, 40), Buffer.from(payload)]);
  packet[6] = next;
  packet.writeUInt16BE(payload.length, 4);
  return packet;
};
const long = (next: number, length = 0) => [next, length, ...Array(6 + 8 * length).fill(0)];
const fragment = (next: number, offset: number) => [next, 0, offset >> 5, (offset << 3) & 0xff, 0, 0, 0, 1];
const echo = [128, 0, 0, 0, 0, 0, 0, 0];
const error = [1, 0, 0, 0, 0, 0, 0, 0];

describe('noRoute', () => {
  test('is a whole packet to the sender, which quotes all of a small packet', () => {
    const answer = noRoute(offending, ROUTER);
    if (answer === undefined) throw new Error('no answer');
    expect(parseIpPacket(answer)).toMatchObject({ family: 6, length: answer.length });
    expect(Ip.fromBytes(6, answer, 8).toString()).toBe('fd00:5:1::');
    expect(Ip.fromBytes(6, answer, 24).toString()).toBe('fd00:5:1::7');
    expect([answer[6], answer[7]]).toEqual([58, 64]);
    expect([...answer.subarray(40, 42)]).toEqual([1, 0]);
    expect(Buffer.from(answer.subarray(48))).toEqual(offending);
    const tail = Buffer.from([0, 0, 0, answer.length - 40, 0, 0, 0, 58]);
    expect(internetChecksum(Buffer.concat([answer.subarray(8, 40), tail, answer.subarray(40)]))).toBe(0);
  });

  test('is at most 1280 bytes', () => {
    const large = udpPacket({ ...pair, payload: Buffer.alloc(5000, 'x') });
    const answer = noRoute(large, ROUTER);
    expect(answer?.length).toBe(1280);
    expect(Buffer.from(answer?.subarray(48) ?? [])).toEqual(large.subarray(0, 1232));
  });

  test('answers an echo request, and no other ICMPv6, also behind extension headers', () => {
    for (const headers of [[], long(58), long(58, 2)]) {
      for (const next of headers.length === 0 ? [58] : [0, 43, 60]) {
        expect(noRoute(holding(next, ...headers, ...echo), ROUTER)).toBeDefined();
        expect(noRoute(holding(next, ...headers, ...error), ROUTER)).toBeUndefined();
        expect(noRoute(holding(next, ...headers, 129, 0, 0, 0), ROUTER)).toBeUndefined();
        expect(noRoute(holding(next, ...headers), ROUTER)).toBeUndefined();
      }
    }
    expect(noRoute(holding(0, ...long(43), ...long(60), ...long(58), ...error), ROUTER)).toBeUndefined();
    expect(noRoute(holding(0, ...long(43), ...long(60), ...long(17), ...error), ROUTER)).toBeDefined();
    expect(noRoute(holding(0, 58, 0, 0), ROUTER)).toBeUndefined();
  });

  test('answers the first fragment alone', () => {
    expect(noRoute(holding(44, ...fragment(17, 0), ...echo), ROUTER)).toBeDefined();
    expect(noRoute(holding(44, ...fragment(58, 0), ...error), ROUTER)).toBeUndefined();
    expect(noRoute(holding(44, ...fragment(17, 1), ...echo), ROUTER)).toBeUndefined();
    expect(noRoute(holding(60, ...long(44), ...fragment(17, 300), ...echo), ROUTER)).toBeUndefined();
  });

  test.each([
    ['from multicast', { ...pair, source: 'ff02::1' }],
    ['from nowhere', { ...pair, source: '::' }],
    ['to multicast', { ...pair, destination: 'ff0e::1' }],
  ])('does not answer a packet %s', (_what, addresses) => {
    expect(noRoute(udpPacket(addresses), ROUTER)).toBeUndefined();
  });
});

test('packetTooBig tells the MTU, also about multicast', () => {
  for (const destination of [pair.destination, 'ff0e::1']) {
    const answer = packetTooBig(udpPacket({ ...pair, destination }), ROUTER, 1400);
    expect([...(answer?.subarray(40, 42) ?? [])]).toEqual([2, 0]);
    expect(Buffer.from(answer ?? []).readUInt32BE(44)).toBe(1400);
  }
  expect(packetTooBig(holding(58, ...error), ROUTER, 1400)).toBeUndefined();
  expect(packetTooBig(udpPacket({ ...pair, source: 'ff02::1' }), ROUTER, 1400)).toBeUndefined();
});
