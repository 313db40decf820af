import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { GSO_TCPV4, NEEDS_CSUM, VIRTIO_HEADER, writeVirtioHeader } from '../../../src/wire/virtio-header.ts';
import { NetNamespace } from '../../support/netns.ts';
import { type AgentSocket, UdpAgent } from '../../support/udp-agent.ts';
import { tcpPacket } from './differential/packet-maker.ts';
import { WireAgent } from './differential/wire-agent.ts';
import {
  CONFIG,
  dropped,
  type EngineLab,
  HOST,
  PEER_A,
  PORT,
  route,
  statsUntil,
  TABLE,
  TUN,
} from './engine-lab.ts';
import { whileStopped } from './stopped.ts';

const NEAR = '192.0.2.1';
const FAR = '192.0.2.2';
const PACKETS = 20;

/** Offloads that the kernel or the path refuses: everything arrives all the same, and it is said once. */
export function describeFallbacks(lab: () => EngineLab): void {
  // Before Linux 6.11 the kernel refuses segmented sends here (EIO).
  test('an underlay whose device makes no checksums', async ({ skip }) => {
    const obstacle = lacks('ethtool', '--version');
    if (obstacle !== undefined) return skip(obstacle);
    const far = await NetNamespace.create();
    try {
      await joinWithoutChecksums(lab(), far);
      const datapath = await lab().connectConfigured(
        { ...CONFIG, listen: { address: Ip.parse(NEAR), port: PORT } },
        { ...TABLE, routes: [route('10.5.2.0/24', FAR)] },
      );
      const peer = await new UdpAgent(far).open(FAR, PORT);
      for (let round = 0; round < 2; round++) await expectBatch(lab(), peer, round);
      expect(dropped(await datapath.stats())).toEqual({});
      expect(lab().log.match(/refuses segmented sends/g)?.length ?? 0).toBeLessThanOrEqual(1);
    } finally {
      await far.remove();
    }
  });

  test('a path that refuses segmented sends', async ({ skip }) => {
    const obstacle = lacks('strace', '-V');
    if (obstacle !== undefined) return skip(obstacle);
    const datapath = await lab().connectConfigured();
    const wire = wireAgent(lab());
    await wire.sync();
    const tracer = await refuseOnce(lab(), 'sendmsg', 'EIO');
    for (let round = 1; round <= 2; round++) {
      wire.inject('tun', superPacket());
      await wire.until('the segments are there', () => wire.atPeer[0]?.length === round * PACKETS);
    }
    await tracer.end();
    const stats = await statsUntil(datapath, ({ peers }) =>
      peers.some(({ sentPackets }) => sentPackets === BigInt(2 * PACKETS)),
    );
    expect(dropped(stats)).toEqual({});
    expect(stats.peers.find(({ address }) => address.toString() === PEER_A.outer)).toMatchObject({
      sentPackets: BigInt(2 * PACKETS),
      noSegment: expect.stringMatching(/Input\/output error/),
    });
    expect(lab().log.match(/the path to 127\.0\.0\.2 refuses segmented sends \(EIO\)/g)).toHaveLength(1);
  });

  test('a device that refuses joined packets', async ({ skip }) => {
    const obstacle = lacks('strace', '-V');
    if (obstacle !== undefined) return skip(obstacle);
    const datapath = await lab().connectConfigured();
    const wire = wireAgent(lab());
    await wire.sync();
    const tracer = await refuseOnce(lab(), 'writev', 'EINVAL');
    for (let round = 1; round <= 2; round++) {
      const before = await lab().outOfTun();
      wire.send(0, Buffer.concat(segments()), 140);
      await statsUntil(datapath, ({ peers }) =>
        peers.some(({ receivedPackets }) => receivedPackets === BigInt(round * PACKETS)),
      );
      // One by one, the first time because the joined write failed, then because it is not tried again.
      expect((await lab().outOfTun()).packets - before.packets).toBe(PACKETS);
    }
    await tracer.end();
    const stats = await datapath.stats();
    expect(dropped(stats)).toEqual({});
    expect(stats.offloads.find(({ offload }) => offload === 'tun-tso')).toEqual({
      offload: 'tun-tso',
      state: 'lost',
      reason: expect.stringMatching(/refuses joined packets: Invalid argument/),
    });
    expect(lab().log.match(/tun-tso is not used any more/g)).toHaveLength(1);
  });
}

function wireAgent({ namespace }: EngineLab): WireAgent {
  return new WireAgent(namespace, {
    tun: TUN,
    plain: 'out0',
    host: HOST.outer,
    port: PORT,
    peers: [PEER_A.outer],
  });
}

interface Tracer {
  end(): Promise<void>;
}

function lacks(program: string, argument: string): string | undefined {
  return spawnSync(program, [argument]).error === undefined ? undefined : `needs ${program}`;
}

/** An underlay whose device cannot make checksums: the kernel makes no segments without (EIO). */
async function joinWithoutChecksums(lab: EngineLab, far: NetNamespace): Promise<void> {
  await lab.namespace.script(`
    ip link add near0 type veth peer name far0 netns ${far.name}
    ip address add ${NEAR}/24 dev near0
    ethtool -K near0 tx off
    ip link set near0 up
  `);
  await far.script(`
    ip address add ${FAR}/24 dev far0
    ip link set far0 up
  `);
}

/** Packets of one size, which are all there before the engine reads the first, come to the peer whole and in order. */
async function expectBatch(lab: EngineLab, peer: AgentSocket, round: number): Promise<void> {
  const texts = Array.from({ length: PACKETS }, (_each, packet) => `${round} ${String(packet).padStart(3)}`);
  const local = await lab.agent.open(HOST.inner);
  await whileStopped(lab.pid, async () => {
    const sent = sentDatagrams(lab);
    for (const text of texts) local.send(Buffer.from(text), PEER_A.inner, 9);
    const deadline = performance.now() + 5000;
    for (; sentDatagrams(lab) < sent + PACKETS; await sleep(5))
      if (performance.now() > deadline) throw new Error('the packets are not sent');
  });
  for (const text of texts) expect((await peer.next()).bytes.subarray(28).toString()).toBe(text);
}

/** UDP datagrams that any socket of the namespace has ever sent. */
function sentDatagrams({ pid }: EngineLab): number {
  const [names = '', values = ''] = readFileSync(`/proc/${pid}/net/snmp`, 'utf8').match(/^Udp: .*$/gm) ?? [];
  return Number(values.split(' ')[names.split(' ').indexOf('OutDatagrams')]);
}

/** TCP segments that follow on each other, of 140 bytes each. */
function segments(): Buffer[] {
  const ip = { source: PEER_A.inner, destination: '10.5.1.77' };
  return Array.from({ length: PACKETS }, (_each, index) => {
    const tcp = { sourcePort: 80, destinationPort: 4000, sequence: 1000 + index * 100, flags: 0x10 };
    return tcpPacket({ ...ip, id: index }, tcp, Buffer.alloc(100, index), 'full').bytes;
  });
}

/** As many, in one piece, as the kernel hands them to the engine. */
function superPacket(): Buffer {
  const ip = { source: HOST.inner, destination: PEER_A.inner };
  const tcp = { sourcePort: 4000, destinationPort: 80, sequence: 1000, flags: 0x10 };
  const { bytes, transport, payload } = tcpPacket(ip, tcp, Buffer.alloc(100 * PACKETS), 'partial');
  const header = Buffer.alloc(VIRTIO_HEADER);
  const gso = { flags: NEEDS_CSUM, gsoType: GSO_TCPV4, headerLength: payload, gsoSize: 100 };
  writeVirtioHeader({ ...gso, checksumStart: transport, checksumOffset: 16 }, header);
  return Buffer.concat([header, bytes]);
}

/** Has the kernel refuse the engine's next call, once; in its place it gets one that the filter allows. */
async function refuseOnce(lab: EngineLab, call: 'sendmsg' | 'writev', error: string): Promise<Tracer> {
  const inject = `inject=${call}:error=${error}:syscall=getpid:when=1`;
  const args = ['-f', '-e', `trace=${call}`, '-e', inject, '-p', String(lab.pid)];
  const tracer = lab.namespace.spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  if (tracer.stderr === null) throw new Error('strace has no standard error');
  let text = '';
  while (!/attached/.test(text)) text += String((await once(tracer.stderr, 'data'))[0]);
  tracer.stderr.on('data', (chunk) => {
    text += chunk;
  });
  return {
    /** It was there for something. */
    async end(): Promise<void> {
      tracer.kill('SIGTERM');
      await once(tracer, 'exit');
      expect(text).toMatch(/\(INJECTED\)/);
    },
  };
}
