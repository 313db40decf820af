import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { internetChecksum } from '../../../src/wire/checksum.ts';
import {
  CONFIG,
  CONFIG_V6,
  dropped,
  type EngineLab,
  HOST,
  MTU,
  PEER_A,
  PORT,
  statsUntil,
  TABLE,
  TABLE_V6,
} from './engine-lab.ts';

/** Bytes that the underlay takes after it shrank, and what is left of them for an inner packet, by the outer family. */
const UNDERLAY = 1350;
const LEFT = UNDERLAY - 28;
const LEFT_V6 = UNDERLAY - 48;
const IPV6_LEAST_MTU = 1280;
/** Of no container: the engine's own, to answer from. */
const ICMP_V6 = 'fd00:5:1::ff';
const ICMP_SOURCES = [...CONFIG.icmpSources, Ip.parse(ICMP_V6)];

/** A path to a peer that takes less than the MTU. */
export function describePathMtu(lab: () => EngineLab): void {
  const overV4 = { config: CONFIG, table: TABLE, outer: PEER_A.outer, left: LEFT };
  const overV6 = { config: CONFIG_V6, table: TABLE_V6, outer: PEER_A.outerV6, left: LEFT_V6 };
  test.each([
    ['IPv4 over IPv4', HOST.inner, PEER_A.inner, 28, overV4],
    ['IPv6 over IPv4', HOST.innerV6, PEER_A.innerV6, 48, overV4],
    ['IPv4 over IPv6', HOST.inner, PEER_A.inner, 28, overV6],
    ['IPv6 over IPv6', HOST.innerV6, PEER_A.innerV6, 48, overV6],
  ])('%s: the sender learns what the path takes, and keeps to it', async (_what, from, to, headers, over) => {
    const { config, table, outer, left } = over;
    const datapath = await lab().connectConfigured({ ...config, icmpSources: ICMP_SOURCES }, table);
    const peer = await lab().agent.open(outer, PORT);
    const local = await lab().agent.open(from);
    await lab().namespace.run('ip', 'link', 'set', 'lo', 'mtu', String(UNDERLAY));
    local.send(Buffer.alloc(MTU - headers), to, 9);

    const stats = await statsUntil(datapath, ({ drops }) => drops['out-path-mtu'] > 0n);
    expect(dropped(stats)).toEqual({ 'out-path-mtu': 1n });
    expect(stats.peers.find(({ address }) => address.toString() === outer)).toMatchObject({ pathMtu: left });
    await routeSays(lab(), to, from, `mtu ${left}`);
    expect(lab().log.match(new RegExp(`takes packets of ${left} bytes`, 'g'))).toHaveLength(1);

    // The host itself cuts up what does not fit any more: the pieces fit.
    local.send(Buffer.alloc(MTU - headers), to, 9);
    for (let piece = 0; piece < 2; piece++)
      expect((await peer.next()).bytes.length).toBeLessThanOrEqual(left);
    expect(dropped(await datapath.stats())).toEqual({ 'out-path-mtu': 1n });
  });

  test.each([
    ['IPv4', overV4],
    ['IPv6', overV6],
  ])('IPv6 over %s: what the path takes is less than IPv6 may demand', async (_family, over) => {
    const { config, table, outer } = over;
    const datapath = await lab().connectConfigured({ ...config, icmpSources: ICMP_SOURCES }, table);
    const peer = await lab().agent.open(outer, PORT);
    const local = await lab().agent.open(HOST.innerV6);
    await lab().namespace.run('ip', 'link', 'set', 'lo', 'mtu', String(IPV6_LEAST_MTU + 20));
    local.send(Buffer.alloc(MTU - 48), PEER_A.innerV6, 9);
    await statsUntil(datapath, ({ drops }) => drops['out-path-mtu'] > 0n);
    await routeSays(lab(), PEER_A.innerV6, HOST.innerV6, `mtu ${IPV6_LEAST_MTU}`);

    const payload = Buffer.from(Array.from({ length: IPV6_LEAST_MTU - 48 }, (_byte, index) => index % 251));
    for (let packet = 0; packet < 3; packet++) {
      local.send(payload, PEER_A.innerV6, 9);
      const { bytes, address } = await peer.next();
      expect(address).toBe(config.listen.address.toString());
      expect(bytes.subarray(48)).toEqual(payload);
    }
    expect(dropped(await datapath.stats())).toEqual({ 'out-path-mtu': 1n });
  });

  test('a packet that may be cut is cut, until the path takes it whole again', async () => {
    const datapath = await lab().connectConfigured();
    // UDP sockets that are opened from now on leave DF out.
    await lab().namespace.script('sysctl -qw net.ipv4.ip_no_pmtu_disc=1');
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner);
    const payload = Buffer.from(Array.from({ length: MTU - 28 }, (_byte, index) => index % 251));
    await lab().namespace.run('ip', 'link', 'set', 'lo', 'mtu', String(UNDERLAY));

    // The first shows that the path has shrunk, and is lost.
    local.send(payload, PEER_A.inner, 9);
    await statsUntil(datapath, ({ drops }) => drops['out-path-mtu'] === 1n);
    local.send(payload, PEER_A.inner, 9);
    const pieces = [(await peer.next()).bytes, (await peer.next()).bytes];
    expect(reassemble(pieces).subarray(8)).toEqual(payload);
    for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(LEFT);
    expect(dropped(await datapath.stats())).toEqual({ 'out-path-mtu': 1n });

    await lab().namespace.run('ip', 'link', 'set', 'lo', 'mtu', '65536');
    let length = 0;
    for (const deadline = performance.now() + 10_000; length !== MTU; await sleep(100)) {
      if (performance.now() > deadline) throw new Error(`packets are still cut: ${lab().log}`);
      local.send(payload, PEER_A.inner, 9);
      length = (await peer.next()).bytes.length;
    }
    const { peers, drops } = await datapath.stats();
    expect(drops['out-path-mtu']).toBe(1n);
    expect(peers.map(({ pathMtu }) => pathMtu)).toEqual([0, 0]);
    expect(lab().log).toMatch(/takes packets of 1400 bytes again/);
  });
}

/** Waits until the host's route to an address has it. */
async function routeSays(lab: EngineLab, to: string, from: string, text: string): Promise<void> {
  let route = '';
  for (const deadline = performance.now() + 5000; !route.includes(text); await sleep(20)) {
    if (performance.now() > deadline) throw new Error(`the route to ${to} does not say ${text}: ${route}`);
    route = await lab.namespace.run('ip', 'route', 'get', to, 'from', from);
  }
}

/** The payload of an IPv4 packet that came in fragments (RFC 791), each of which has to be right. */
function reassemble(fragments: readonly Buffer[]): Buffer {
  const payload: Buffer[] = [];
  let length = 0;
  for (const [index, fragment] of fragments.entries()) {
    const field = fragment.readUInt16BE(6);
    expect(internetChecksum(fragment.subarray(0, 20))).toBe(0);
    expect(fragment.readUInt16BE(4)).toBe(fragments[0]?.readUInt16BE(4));
    expect((field & 0x1fff) * 8).toBe(length);
    expect((field & 0x2000) !== 0).toBe(index < fragments.length - 1);
    payload.push(fragment.subarray(20, fragment.readUInt16BE(2)));
    length += fragment.length - 20;
  }
  return Buffer.concat(payload);
}
