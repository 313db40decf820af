import { describe, expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { internetChecksum } from '../../../src/wire/checksum.ts';
import { fragmentationNeeded, netUnreachable } from '../../../src/wire/icmp.ts';
import { parseIpPacket } from '../../../src/wire/ip-packet.ts';
import { ipv4Packet, udpPacket } from '../../support/packets.ts';

const ROUTER = Ip.parse('10.5.1.0');
const pair = { source: '10.5.1.7', destination: '10.5.99.1' };
const offending = udpPacket({ ...pair, payload: 'more than eight bytes' });
const icmp = (type: number) => ipv4Packet(pair, 1, Uint8Array.of(type, 0, 0, 0, 0, 1, 0, 1));

describe('netUnreachable', () => {
  test('is a whole packet to the sender, which quotes the header and eight bytes', () => {
    const answer = netUnreachable(offending, ROUTER);
    if (answer === undefined) throw new Error('no answer');
    expect(parseIpPacket(answer)).toMatchObject({ family: 4, length: answer.length });
    expect(Ip.fromBytes(4, answer, 12).toString()).toBe('10.5.1.0');
    expect(Ip.fromBytes(4, answer, 16).toString()).toBe('10.5.1.7');
    expect([...answer.subarray(20, 22)]).toEqual([3, 0]);
    expect(Buffer.from(answer.subarray(28))).toEqual(offending.subarray(0, 28));
    // Over bytes that hold their own checksum, the sum is zero.
    expect(internetChecksum(answer.subarray(0, 20))).toBe(0);
    expect(internetChecksum(answer.subarray(20))).toBe(0);
  });

  test('quotes IP options, and no more than there is', () => {
    const options = Buffer.concat([
      offending.subarray(0, 20),
      Buffer.alloc(4, 1),
      offending.subarray(20, 24),
    ]);
    options[0] = 0x46;
    expect(netUnreachable(options, ROUTER)?.length).toBe(28 + 28);
  });

  test('answers an echo request, because people ping, and no other ICMP', () => {
    expect(netUnreachable(icmp(8), ROUTER)).toBeDefined();
    for (const type of [0, 3, 4, 5, 11, 12, 13]) expect(netUnreachable(icmp(type), ROUTER)).toBeUndefined();
    expect(netUnreachable(ipv4Packet(pair, 1, new Uint8Array(0)), ROUTER)).toBeUndefined();
  });

  test('looks for the ICMP type behind IP options', () => {
    const echo = icmp(8);
    const options = Buffer.concat([echo.subarray(0, 20), Buffer.alloc(4, 1), echo.subarray(20)]);
    options[0] = 0x46;
    expect(netUnreachable(options, ROUTER)).toBeDefined();
  });

  test('answers the first fragment alone', () => {
    const first = Buffer.from(offending);
    first.writeUInt16BE(0x2000, 6);
    expect(netUnreachable(first, ROUTER)).toBeDefined();
    const second = Buffer.from(offending);
    second.writeUInt16BE(0x2001, 6);
    expect(netUnreachable(second, ROUTER)).toBeUndefined();
  });

  test.each([
    ['from multicast', { ...pair, source: '224.0.0.1' }],
    ['from broadcast', { ...pair, source: '255.255.255.255' }],
    ['from nowhere', { ...pair, source: '0.0.0.0' }],
    ['to multicast', { ...pair, destination: '239.1.1.1' }],
    ['to broadcast', { ...pair, destination: '255.255.255.255' }],
  ])('does not answer a packet %s', (_what, addresses) => {
    expect(netUnreachable(udpPacket(addresses), ROUTER)).toBeUndefined();
  });
});

test('fragmentationNeeded tells the MTU, with and without DF, under the same rules', () => {
  for (const fragmentField of [0, 0x4000]) {
    const packet = Buffer.from(offending);
    packet.writeUInt16BE(fragmentField, 6);
    const answer = Buffer.from(fragmentationNeeded(packet, ROUTER, 1400) ?? []);
    expect([...answer.subarray(20, 22)]).toEqual([3, 4]);
    expect(answer.readUInt32BE(24)).toBe(1400);
    expect(internetChecksum(answer.subarray(20))).toBe(0);
  }
  expect(fragmentationNeeded(icmp(3), ROUTER, 1400)).toBeUndefined();
});
