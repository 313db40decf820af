import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { udpPacket } from '../../support/packets.ts';
import {
  CONFIG,
  CONFIG_V6,
  dropped,
  type EngineLab,
  HOST,
  INNER_PORT,
  MTU,
  PEER_A,
  PEER_B,
  PORT,
  route,
  statsUntil,
  TABLE,
  TABLE_V6,
} from './engine-lab.ts';

/** Packets that get through, and tables that change meanwhile. */
export function describeForwarding(lab: () => EngineLab): void {
  test('carries a packet both ways, as the payload and nothing else, and counts it', async () => {
    const datapath = await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner, INNER_PORT);

    local.send(Buffer.from('ping'), PEER_A.inner, 4000);
    const out = await peer.next();
    expect(out).toMatchObject({ address: HOST.outer, port: PORT });
    expect(Ip.fromBytes(4, out.bytes, 12).toString()).toBe(HOST.inner);
    expect(Ip.fromBytes(4, out.bytes, 16).toString()).toBe(PEER_A.inner);
    expect(out.bytes.subarray(28).toString()).toBe('ping');

    const back = udpPacket({
      source: PEER_A.inner,
      destination: HOST.inner,
      destinationPort: INNER_PORT,
      payload: 'pong',
    });
    peer.send(back, HOST.outer, PORT);
    expect(await local.next()).toEqual({ bytes: Buffer.from('pong'), address: PEER_A.inner, port: 4000 });

    const stats = await statsUntil(datapath, ({ peers }) =>
      peers.some((each) => each.receivedPackets === 1n),
    );
    expect(stats.peers.find(({ address }) => address.toString() === PEER_A.outer)).toMatchObject({
      sentPackets: 1n,
      sentBytes: BigInt(out.bytes.length),
      receivedPackets: 1n,
      receivedBytes: BigInt(back.length),
    });
    expect(stats.peers.find(({ address }) => address.toString() === PEER_B.outer)).toMatchObject({
      sentPackets: 0n,
      receivedPackets: 0n,
    });
  });

  test('carries IPv6 over IPv4', async () => {
    await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.innerV6, INNER_PORT);
    local.send(Buffer.from('ping'), PEER_A.innerV6, 4000);
    expect((await peer.next()).bytes.subarray(48).toString()).toBe('ping');
    peer.send(
      udpPacket({
        source: PEER_A.innerV6,
        destination: HOST.innerV6,
        destinationPort: INNER_PORT,
        payload: 'pong',
      }),
      HOST.outer,
      PORT,
    );
    expect((await local.next()).bytes.toString()).toBe('pong');
  });

  test.each([
    ['IPv4', HOST.inner, PEER_A.inner, 28],
    ['IPv6', HOST.innerV6, PEER_A.innerV6, 48],
  ])('carries %s over IPv6, up to the MTU', async (_family, here, there, headers) => {
    const datapath = await lab().connectConfigured(CONFIG_V6, TABLE_V6);
    const peer = await lab().agent.open(PEER_A.outerV6, PORT);
    const local = await lab().agent.open(here, INNER_PORT);
    for (const payload of [Buffer.from('ping'), Buffer.alloc(MTU - headers, 'p')]) {
      local.send(payload, there, 4000);
      const out = await peer.next();
      expect(out).toMatchObject({ address: HOST.outerV6, port: PORT });
      expect(out.bytes.subarray(headers)).toEqual(payload);
      const back = { source: there, destination: here, destinationPort: INNER_PORT };
      peer.send(udpPacket({ ...back, payload: payload.toString() }), HOST.outerV6, PORT);
      expect((await local.next()).bytes).toEqual(payload);
    }
    expect(dropped(await datapath.stats())).toEqual({});
  });

  test('follows the longest prefix, to its port', async () => {
    await lab().connectConfigured(CONFIG, {
      ...TABLE,
      routes: [...TABLE.routes, route('10.5.2.128/25', PEER_B.outer, 9999)],
    });
    const peers = [
      await lab().agent.open(PEER_A.outer, PORT),
      await lab().agent.open(PEER_B.outer, 9999),
    ] as const;
    const local = await lab().agent.open(HOST.inner);
    local.send(Buffer.from('low'), '10.5.2.127', 9);
    local.send(Buffer.from('high'), '10.5.2.128', 9);
    expect((await peers[0].next()).bytes.subarray(28).toString()).toBe('low');
    expect((await peers[1].next()).bytes.subarray(28).toString()).toBe('high');
  });

  test('goes on when the control connection has closed', async () => {
    const datapath = await lab().connectConfigured();
    datapath.close();
    await datapath.closed;
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner, INNER_PORT);
    for (let packet = 0; packet < 3; packet++) {
      local.send(Buffer.from(`ping ${packet}`), PEER_A.inner, 9);
      expect((await peer.next()).bytes.subarray(28).toString()).toBe(`ping ${packet}`);
    }
  });

  test('changes the table between two packets: none is lost while it is swapped', async () => {
    const datapath = await lab().connectConfigured();
    const peers = [await lab().agent.open(PEER_A.outer, PORT), await lab().agent.open(PEER_B.outer, PORT)];
    const local = await lab().agent.open(HOST.inner);
    const tables = [
      [route('10.5.2.0/24', PEER_A.outer)],
      [route('10.5.2.0/25', PEER_B.outer), route('10.5.2.128/25', PEER_B.outer)],
    ];
    const packets = 600;
    const received: string[][] = [[], []];
    // No more on the way than every buffer holds, so that a missing packet is one that the engine lost.
    const until = async (count: number) => {
      for (const deadline = performance.now() + 5000; received.flat().length < count; await sleep(1)) {
        if (performance.now() > deadline) break;
        for (const [index, peer] of peers.entries()) {
          received[index]?.push(...peer.drain().map(({ bytes }) => bytes.subarray(28).toString()));
        }
      }
    };
    for (let packet = 0; packet < packets; packet++) {
      local.send(Buffer.from(String(packet)), PEER_A.inner, 9);
      if (packet % 10 !== 0) continue;
      const generation = BigInt(100 + packet);
      await datapath.replaceRoutes({ ...TABLE, generation, routes: tables[(packet / 10) % 2] ?? [] });
      await until(packet - 100);
    }
    await until(packets);
    const sent = Array.from({ length: packets }, (_, packet) => String(packet));
    expect(received.flat().sort()).toEqual(sent.sort());
    expect(Math.min(...received.map((each) => each.length))).toBeGreaterThan(0);
    expect(dropped(await datapath.stats())).toEqual({});
  });

  test('applies a change to its generation, and refuses one to another', async () => {
    const datapath = await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_B.outer, PORT);
    const local = await lab().agent.open(HOST.inner);
    await datapath.updateRoutes({
      from: TABLE.generation,
      to: 8n,
      remove: [Prefix.parse('10.5.3.0/24'), Prefix.parse('10.5.99.0/24')],
      set: [route('10.5.2.0/24', PEER_B.outer), route('10.5.4.0/24', PEER_B.outer)],
    });
    for (const subnet of [2, 4]) {
      local.send(Buffer.from('moved'), `10.5.${subnet}.7`, 9);
      expect(Ip.fromBytes(4, (await peer.next()).bytes, 16).toString()).toBe(`10.5.${subnet}.7`);
    }
    expect(await datapath.stats()).toMatchObject({ generation: 8n, routes: 3 });

    await expect(
      datapath.updateRoutes({ from: TABLE.generation, to: 9n, remove: [], set: [] }),
    ).rejects.toThrow(/generation 7.*generation 8/);
    expect((await datapath.stats()).generation).toBe(8n);
  });

  test('keeps a peer’s counters as long as a route leads to it', async () => {
    const datapath = await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner);
    local.send(Buffer.from('one'), PEER_A.inner, 9);
    await peer.next();
    await datapath.replaceRoutes({
      ...TABLE,
      generation: 8n,
      routes: [route('10.5.8.0/24', PEER_A.outer)],
    });
    expect((await datapath.stats()).peers).toMatchObject([
      { address: Ip.parse(PEER_A.outer), sentPackets: 1n },
    ]);
    await datapath.replaceRoutes({ ...TABLE, generation: 9n, routes: [] });
    expect((await datapath.stats()).peers).toEqual([]);
  });
}
