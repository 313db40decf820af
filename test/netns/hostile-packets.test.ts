import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import { type LabHost, underlay } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';
import { udpPacket } from '../support/packets.ts';
import { type AgentSocket, UdpAgent } from '../support/udp-agent.ts';

const TUNNEL_PORT = 8285;
const SERVICE_PORT = 9000;

describe.skipIf(labObstacle())(`packets that nobody should admit ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let victim: string;
  let friend: string;
  let service: AgentSocket;
  let peer: AgentSocket;
  let stranger: AgentSocket;

  beforeAll(async () => {
    lab = await TestLab.start();
    const hosts = await lab.addHosts(2);
    const [first, second] = hosts as [LabHost, LabHost];
    h1 = first;
    await until('h1 knows h2', async () => (await lab.status(h1)).peers.length === 1);
    victim = containerAddress([await lab.subnet(h1)]);
    friend = containerAddress([await lab.subnet(second)]);
    const agentIn = (namespace: string) =>
      new UdpAgent({ spawn: (program, args) => lab.spawn(namespace, program, ...args) });
    service = await agentIn(h1.container.namespace).open(victim, SERVICE_PORT);
    peer = await agentIn(second.namespace).open(second.address);
    stranger = await agentIn(underlay(lab.lab.spec.name).namespace).open(underlay(lab.lab.spec.name).address);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const inner = (source: string, payload: string | Uint8Array, destination = victim) =>
    udpPacket({ source, destination, destinationPort: SERVICE_PORT, payload });

  it('admits a packet from a known peer with an inner source of its own', async () => {
    peer.send(inner(friend, 'good'), h1.address, TUNNEL_PORT);
    expect((await service.next()).bytes.toString()).toBe('good');
  });

  const versionFive = () => {
    const packet = inner(friend, 'bad');
    packet[0] = 0x55;
    return packet;
  };
  const cases: [string, string, () => AgentSocket, () => Uint8Array][] = [
    ['an unknown address', 'in-unknown-peer', () => stranger, () => inner(friend, 'bad')],
    [
      'a peer, with an inner source of the victim itself',
      'in-wrong-source',
      () => peer,
      () => inner(victim, 'bad'),
    ],
    [
      'a peer, with an inner source outside the network',
      'in-wrong-source',
      () => peer,
      () => inner('203.0.113.5', 'bad'),
    ],
    [
      'a peer, for somebody else',
      'in-wrong-destination',
      () => peer,
      () => inner(friend, 'bad', '192.0.2.254'),
    ],
    ['a peer, truncated', 'in-truncated', () => peer, () => inner(friend, 'bad').subarray(0, 27)],
    ['a peer, empty', 'in-truncated', () => peer, () => new Uint8Array(0)],
    ['a peer, of IP version 5', 'in-bad-version', () => peer, versionFive],
    [
      'a peer, larger than the MTU',
      'in-too-big',
      () => peer,
      () => inner(friend, new Uint8Array(1472 - 28 + 1)),
    ],
  ];
  it.each(cases)('drops what comes from %s, and counts it as %s', async (_, reason, sender, packet) => {
    const before = (await lab.status(h1)).engine?.drops[reason] ?? 0;
    sender().send(packet(), h1.address, TUNNEL_PORT);
    await until(
      'it is counted',
      async () => ((await lab.status(h1)).engine?.drops[reason] ?? 0) === before + 1,
    );
    await sleep(50);
    expect(service.drain()).toEqual([]);
  });

  it('still admits good packets after all that', async () => {
    peer.send(inner(friend, new Uint8Array(1472 - 28)), h1.address, TUNNEL_PORT);
    expect((await service.next()).bytes).toHaveLength(1472 - 28);
  });
});
