import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DROP_REASONS } from '../../../../src/datapath/datapath.ts';
import {
  decideOutbound as decide,
  decideInbound,
  readOutbound,
} from '../../../../src/datapath/dgram/forwarding.ts';
import { buildTable } from '../../../../src/datapath/dgram/forwarding-table.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { PLAIN, type VirtioHeader } from '../../../../src/wire/virtio-header.ts';
import { udpPacket } from '../../../support/packets.ts';

const PEER_A = '192.0.2.2';
const PEER_B = '2001:db8::3';
const route = (prefix: string, outer: string, port = 8285) => ({
  prefix: Prefix.parse(prefix),
  peer: { address: Ip.parse(outer), port },
});
const TABLE = buildTable({
  generation: 1n,
  local: [Prefix.parse('10.5.1.0/24'), Prefix.parse('fd00:1::/64')],
  routes: [
    route('10.5.2.0/24', PEER_A),
    route('10.5.2.128/25', PEER_B, 9999),
    route('10.5.3.0/24', PEER_A, 1111),
    route('fd00:2::/64', PEER_A),
  ],
});
const RULES = { mtu: 1400, strictSource: true };
const LAX = { ...RULES, strictSource: false };
const inbound = { source: '10.5.2.7', destination: '10.5.1.1' };
const outbound = { source: '10.5.1.1', destination: '10.5.2.7' };

/** Read and decided. */
const decideOutbound = (
  bytes: Uint8Array,
  table: typeof TABLE,
  rules: typeof RULES,
  header: VirtioHeader = PLAIN,
) => {
  const packet = readOutbound(bytes, header);
  if (packet.kind === 'drop') return packet;
  const verdict = decide(packet, table, rules);
  return verdict.kind === 'drop' ? verdict : { ...verdict, length: packet.bytes.length };
};

const withVersion = (packet: Buffer, version: number) => {
  const changed = Buffer.from(packet);
  changed[0] = (version << 4) | 5;
  return changed;
};

describe('decideOutbound', () => {
  test.each([
    ['IPv4', outbound, PEER_A, 8285],
    ['IPv6', { source: 'fd00:1::1', destination: 'fd00:2::1' }, PEER_A, 8285],
    ['the longest prefix', { ...outbound, destination: '10.5.2.200' }, PEER_B, 9999],
    ['another port of the same peer', { ...outbound, destination: '10.5.3.1' }, PEER_A, 1111],
  ])('sends %s to its peer, up to the end that the header tells', (_what, fields, host, port) => {
    const packet = udpPacket(fields);
    expect(decideOutbound(Buffer.concat([packet, Buffer.from('padding')]), TABLE, RULES)).toMatchObject({
      kind: 'send',
      to: { peer: { host }, port },
      length: packet.length,
    });
  });

  test.each([
    ['out-no-route', udpPacket({ ...outbound, destination: '10.5.9.1' })],
    ['out-no-route', udpPacket({ ...outbound, destination: '10.5.1.9' })],
    ['out-no-route', udpPacket({ source: 'fd00::1', destination: 'ff05::2' })],
    ['out-no-route', udpPacket({ ...outbound, destination: '224.0.1.1' })],
    ['out-truncated', udpPacket(outbound).subarray(0, -1)],
    ['out-truncated', Buffer.alloc(0)],
    ['out-bad-version', withVersion(udpPacket(outbound), 5)],
    ['out-too-big', udpPacket({ ...outbound, payload: Buffer.alloc(1400 - 27) })],
  ])('drops as %s', (reason, packet) => {
    expect(decideOutbound(packet, TABLE, RULES)).toEqual({ kind: 'drop', reason });
  });

  test.each([
    { source: 'fe80::1', destination: 'ff02::16' },
    { source: 'fe80::1', destination: 'ff01::1' },
    { ...outbound, destination: '224.0.0.22' },
  ])('what is for the link alone is passed over: %o', (fields) => {
    expect(decideOutbound(udpPacket(fields), TABLE, RULES)).toMatchObject({ kind: 'pass-over' });
  });

  test('as large as the MTU is not too big', () => {
    const packet = udpPacket({ ...outbound, payload: Buffer.alloc(1400 - 28) });
    expect(decideOutbound(packet, TABLE, RULES)).toMatchObject({ kind: 'send', length: 1400 });
  });
});

describe('decideInbound', () => {
  test.each([
    ['IPv4', inbound, PEER_A],
    ['IPv6', { source: 'fd00:2::1', destination: 'fd00:1::1' }, PEER_A],
    ['the holder of the longer prefix', { ...inbound, source: '10.5.2.200' }, PEER_B],
  ])('delivers %s', (_what, fields, sender) => {
    const packet = udpPacket(fields);
    expect(
      decideInbound(Buffer.concat([packet, Buffer.from('padding')]), TABLE, RULES, sender),
    ).toMatchObject({
      kind: 'deliver',
      from: { host: sender },
      length: packet.length,
    });
  });

  test.each([
    ['in-unknown-peer', udpPacket(inbound), '192.0.2.99'],
    ['in-unknown-peer', Buffer.from('not even a packet'), '192.0.2.99'],
    ['in-truncated', udpPacket(inbound).subarray(0, -1), PEER_A],
    ['in-bad-version', withVersion(udpPacket(inbound), 5), PEER_A],
    ['in-too-big', udpPacket({ ...inbound, payload: Buffer.alloc(1400 - 27) }), PEER_A],
    ['in-wrong-source', udpPacket(inbound), PEER_B],
    ['in-wrong-source', udpPacket({ ...inbound, source: '10.5.2.200' }), PEER_A],
    ['in-wrong-source', udpPacket({ ...inbound, source: '8.8.8.8' }), PEER_A],
    ['in-wrong-destination', udpPacket({ ...inbound, destination: '10.5.3.1' }), PEER_A],
    ['in-wrong-destination', udpPacket({ source: 'fd00:2::1', destination: 'fd00:3::1' }), PEER_A],
  ])('drops as %s', (reason, packet, sender) => {
    expect(decideInbound(packet, TABLE, RULES, sender)).toEqual({ kind: 'drop', reason });
  });

  test('without strictSource the inner addresses are free, and nothing else', () => {
    const free = udpPacket({ source: '8.8.8.8', destination: '9.9.9.9' });
    expect(decideInbound(free, TABLE, LAX, PEER_A)).toMatchObject({ kind: 'deliver' });
    expect(decideInbound(free, TABLE, LAX, '192.0.2.99')).toMatchObject({ reason: 'in-unknown-peer' });
    expect(decideInbound(free.subarray(0, 10), TABLE, LAX, PEER_A)).toMatchObject({ reason: 'in-truncated' });
  });

  test('whatever the bytes, there is a verdict, and a packet that passes is all there', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(fc.nat(100), fc.nat(255)).map(([place, byte]) => {
        const packet = udpPacket({ ...inbound, payload: 'payload' });
        packet[place % packet.length] = byte;
        return packet;
      }),
    );
    fc.assert(
      fc.property(bytes, (packet) => {
        for (const verdict of [
          decideInbound(packet, TABLE, RULES, PEER_A),
          decideOutbound(packet, TABLE, RULES),
        ]) {
          if (verdict.kind === 'drop') expect(DROP_REASONS).toHaveProperty(verdict.reason);
          else expect(verdict.length).toBeLessThanOrEqual(packet.length);
        }
      }),
    );
  });
});
