import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { DropReason } from '../../../src/datapath/datapath.ts';
import { Ip } from '../../../src/net/ip.ts';
import { ipv4Packet, udpPacket } from '../../support/packets.ts';
import {
  CONFIG,
  dropped,
  type EngineLab,
  HOST,
  INNER_PORT,
  MTU,
  PEER_A,
  PEER_B,
  PORT,
  route,
  STRANGER,
  statsUntil,
  TABLE,
  TUN,
} from './engine-lab.ts';

/** Packets that do not get through: counted under the right reason, and out of everybody’s way. */
export function describeDrops(lab: () => EngineLab): void {
  const good = {
    source: PEER_A.inner,
    destination: HOST.inner,
    destinationPort: INNER_PORT,
    payload: 'in',
  };
  const cut = udpPacket(good).subarray(0, -1);
  const versionFive = udpPacket(good);
  versionFive[0] = 0x55;
  const cases: readonly [what: string, reason: DropReason, outer: string, packet: Buffer][] = [
    ['from an unknown address', 'in-unknown-peer', STRANGER.outer, udpPacket(good)],
    [
      'with another peer’s inner source',
      'in-wrong-source',
      PEER_A.outer,
      udpPacket({ ...good, source: PEER_B.inner }),
    ],
    [
      'with an inner source of nobody',
      'in-wrong-source',
      PEER_A.outer,
      udpPacket({ ...good, source: '192.0.2.1' }),
    ],
    [
      'with this host’s inner source',
      'in-wrong-source',
      PEER_A.outer,
      udpPacket({ ...good, source: HOST.inner }),
    ],
    [
      'for another host',
      'in-wrong-destination',
      PEER_A.outer,
      udpPacket({ ...good, destination: PEER_B.inner }),
    ],
    [
      'for an outer address',
      'in-wrong-destination',
      PEER_A.outer,
      udpPacket({ ...good, destination: HOST.outer }),
    ],
    ['that are truncated', 'in-truncated', PEER_A.outer, cut],
    ['that are empty', 'in-truncated', PEER_A.outer, Buffer.alloc(0)],
    ['of IP version 5', 'in-bad-version', PEER_A.outer, versionFive],
    [
      'larger than the MTU',
      'in-too-big',
      PEER_A.outer,
      udpPacket({ ...good, payload: Buffer.alloc(MTU - 27) }),
    ],
  ];

  test.each(cases)('drops packets %s, counted as %s', async (_what, reason, outer, packet) => {
    const datapath = await lab().connectConfigured();
    const local = await lab().agent.open(HOST.inner, INNER_PORT);
    const sender = await lab().agent.open(outer, 5000);
    const peer = outer === PEER_A.outer ? sender : await lab().agent.open(PEER_A.outer, 5000);
    const before = await lab().outOfTun();

    for (let copy = 0; copy < 3; copy++) sender.send(packet, HOST.outer, PORT);
    await statsUntil(datapath, ({ drops }) => drops[reason] === 3n);
    // A packet that is admitted comes after all that were not.
    peer.send(udpPacket({ ...good, payload: 'last' }), HOST.outer, PORT);
    expect((await local.next()).bytes.toString()).toBe('last');
    expect((await lab().outOfTun()).packets).toBe(before.packets + 1);
    expect(dropped(await datapath.stats())).toEqual({ [reason]: 3n });
  });

  test('admits a packet as large as the MTU, from any port of the peer, and trims what is behind it', async () => {
    await lab().connectConfigured();
    const local = await lab().agent.open(HOST.inner, INNER_PORT);
    const peer = await lab().agent.open(PEER_A.outer, 5001);
    const payload = Buffer.alloc(MTU - 28, 'x');
    const before = await lab().outOfTun();
    peer.send(Buffer.concat([udpPacket({ ...good, payload }), Buffer.from('padding')]), HOST.outer, PORT);
    expect((await local.next()).bytes).toEqual(payload);
    expect((await lab().outOfTun()).bytes).toBe(before.bytes + MTU);
  });

  test('without strictSource it admits any inner addresses, of known peers', async () => {
    const datapath = await lab().connectConfigured(
      { ...CONFIG, strictSource: false },
      { ...TABLE, local: [] },
    );
    const local = await lab().agent.open(HOST.inner, INNER_PORT);
    const stranger = await lab().agent.open(STRANGER.outer);
    const peer = await lab().agent.open(PEER_A.outer);
    stranger.send(udpPacket(good), HOST.outer, PORT);
    peer.send(udpPacket({ ...good, source: PEER_B.inner }), HOST.outer, PORT);
    expect(await local.next()).toMatchObject({ address: PEER_B.inner });
    expect(dropped(await datapath.stats())).toEqual({ 'in-unknown-peer': 1n });
  });

  test('counts what the device refuses', async () => {
    const datapath = await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer);
    await lab().namespace.run('ip', 'link', 'set', TUN, 'down');
    for (let copy = 0; copy < 3; copy++) peer.send(udpPacket(good), HOST.outer, PORT);
    const stats = await statsUntil(datapath, ({ drops }) => drops['in-tun-error'] === 3n);
    expect(dropped(stats)).toEqual({ 'in-tun-error': 3n });
    expect(lab().log.match(/refuses packets/g)).toHaveLength(1);
  });

  test('what the kernel tells its neighbours on the link is nobody’s packet, and no drop', async () => {
    const datapath = await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner);
    const before = await lab().intoTun();
    // A router joins the groups of routers, and says so on every link (MLD).
    await lab().namespace.script('sysctl -qw net.ipv6.conf.all.forwarding=1');
    for (const deadline = performance.now() + 5000; (await lab().intoTun()) === before; await sleep(50))
      if (performance.now() > deadline) throw new Error('the kernel says nothing');
    local.send(Buffer.from('last'), PEER_A.inner, 9);
    await peer.next();
    expect(dropped(await datapath.stats())).toEqual({});
  });

  test('no route: a local sender gets ICMP net unreachable', async () => {
    const datapath = await lab().connectConfigured();
    // TCP reports it at once; it would wait for minutes if nothing came.
    expect(await lab().agent.tcp('10.5.99.1', 80, HOST.inner)).toBe('ENETUNREACH');
    expect(await lab().agent.tcp('10.5.99.1', 80)).toBe('ENETUNREACH');
    const { drops } = await datapath.stats();
    expect(drops['out-no-route']).toBeGreaterThanOrEqual(2n);
    expect(
      await lab()
        .namespace.run('ping', '-c1', '-W2', '10.5.99.1')
        .catch((error) => error.stdout),
    ).toMatch(new RegExp(`From ${HOST.tun} icmp_seq=1 Destination Net Unreachable`));
  });

  test('no route: the answers are limited to about a hundred a second', async () => {
    const datapath = await lab().connectConfigured();
    const local = await lab().agent.open(HOST.inner);
    const before = await lab().outOfTun();
    for (let packet = 0; packet < 400; packet++) local.send(Buffer.from('lost'), '10.5.99.1', 9);
    await statsUntil(datapath, ({ drops }) => drops['out-no-route'] === 400n);
    const answers = (await lab().outOfTun()).packets - before.packets;
    expect(answers).toBeGreaterThanOrEqual(100);
    expect(answers).toBeLessThan(300);
  });

  test('larger than the MTU, when the device lets them through', async () => {
    const datapath = await lab().connectConfigured();
    await lab().namespace.run('ip', 'link', 'set', TUN, 'mtu', '1500');
    const local = await lab().agent.open(HOST.inner);
    local.send(Buffer.alloc(MTU - 27), PEER_A.inner, 9);
    const stats = await statsUntil(datapath, ({ drops }) => drops['out-too-big'] > 0n);
    expect(dropped(stats)).toEqual({ 'out-too-big': 1n });
  });

  test('an outer address that the host has no route to', async () => {
    const datapath = await lab().connectConfigured(
      { ...CONFIG, listen: { address: Ip.parse('0.0.0.0'), port: PORT } },
      {
        ...TABLE,
        routes: [...TABLE.routes, route('10.5.6.0/24', '192.0.2.77')],
      },
    );
    const local = await lab().agent.open(HOST.inner);
    for (let packet = 0; packet < 3; packet++) local.send(Buffer.from('lost'), '10.5.6.1', 9);
    const stats = await statsUntil(datapath, ({ drops }) => drops['out-send-error'] === 3n);
    expect(dropped(stats)).toEqual({ 'out-send-error': 3n });
    expect(lab().log.match(/192\.0\.2\.77/g)).toHaveLength(1);
  });

  test('tells of states, not of packets', async () => {
    const datapath = await lab().connectConfigured();
    const stranger = await lab().agent.open(STRANGER.outer);
    const lines = lab().log.split('\n').length;
    for (let packet = 0; packet < 50; packet++)
      stranger.send(
        ipv4Packet({ source: PEER_A.inner, destination: HOST.inner }, 99, Buffer.alloc(8)),
        HOST.outer,
        PORT,
      );
    await statsUntil(datapath, ({ drops }) => drops['in-unknown-peer'] === 50n);
    expect(lab().log.split('\n').length).toBe(lines);
  });
}
