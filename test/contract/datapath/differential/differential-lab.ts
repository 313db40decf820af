import { readFileSync } from 'node:fs';
import type { Datapath, EngineStats } from '../../../../src/datapath/datapath.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { CONFIG, EngineLab, HOST, PEER_A, PEER_B, PORT, route, STRANGER, TABLE, TUN } from '../engine-lab.ts';
import type { EngineHarness } from '../harness.ts';
import { whileStopped } from '../stopped.ts';
import type { Arriving } from './inbound-traffic.ts';
import { type Injected, type OutboundTraffic, sentinelText } from './outbound-traffic.ts';
import { UDP, udpPacketOf } from './packet-maker.ts';
import { WireAgent } from './wire-agent.ts';

/** The plain device, where the containers would be. */
const PLAIN_DEVICE = 'out0';
/** Packets that a device holds until they are read: more than any batch has. */
const QUEUE = 20_000;
/** Inner addresses of the two peers, for what ends a batch; and of a container. */
const ENDS = ['10.5.2.250', '10.5.3.250'] as const;
const END_INSIDE = '10.5.1.250';
const ICMP_SOURCES = { 4: '10.5.1.99', 6: 'fd00:5:1::99' } as const;

/**
 * One engine between a TUN and its peers, all in one namespace, with a plain device that the kernel forwards to:
 *
 *     test → TUN → engine → sockets of the peers → test
 *     test → sockets of the peers → engine → TUN → kernel → plain device → test
 *
 * The kernel itself sends nothing into the devices.
 */
export class DifferentialLab {
  readonly datapath: Datapath;
  readonly #lab: EngineLab;
  readonly #wire: WireAgent;
  #rounds = 0;

  private constructor(lab: EngineLab, wire: WireAgent, datapath: Datapath) {
    this.#lab = lab;
    this.#wire = wire;
    this.datapath = datapath;
  }

  static async create(harness: EngineHarness, mtu: number): Promise<DifferentialLab> {
    const lab = await EngineLab.create(harness);
    const { namespace } = lab;
    try {
      await namespace.script(
        `
        nft add table inet quiet
        nft add chain inet quiet output {type\\ filter\\ hook\\ output\\ priority\\ 0;}
      `.replace(/\n[^\n]*nft add chain.*\n/, '\n'),
      );
      await namespace.run('nft', 'add chain inet quiet output { type filter hook output priority 0; }');
      await namespace.run('nft', `add rule inet quiet output oifname { "${TUN}", "${PLAIN_DEVICE}" } drop`);
      const datapath = await lab.connect();
      const peers = [PEER_A.outer, PEER_B.outer, STRANGER.outer];
      const wire = new WireAgent(namespace, {
        tun: TUN,
        plain: PLAIN_DEVICE,
        host: HOST.outer,
        port: PORT,
        peers,
      });
      await wire.sync();
      await namespace.script(`
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.${TUN}.rp_filter=0
        sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.${PLAIN_DEVICE}.addr_gen_mode=1
        ip link set ${TUN} mtu 65535 txqueuelen ${QUEUE}
        ip link set ${PLAIN_DEVICE} mtu 65535 txqueuelen ${QUEUE} up
        ip address flush dev ${TUN}
        ip route replace 10.5.0.0/16 dev ${TUN}
        ip route add 10.5.1.0/24 dev ${PLAIN_DEVICE}
        ip route add fd00:5:1::/64 dev ${PLAIN_DEVICE}
      `);
      const icmpSources = [Ip.parse(ICMP_SOURCES[4]), Ip.parse(ICMP_SOURCES[6])];
      await datapath.configure({ ...CONFIG, mtu, icmpSources });
      await datapath.replaceRoutes({
        ...TABLE,
        local: [Prefix.parse('10.5.1.0/24'), Prefix.parse('fd00:5:1::/64')],
        routes: [...TABLE.routes, route('fd00:5:3::/64', PEER_B.outer)],
      });
      return new DifferentialLab(lab, wire, datapath);
    } catch (error) {
      await lab.remove();
      throw error;
    }
  }

  /** What leaves the engine for each peer, in order. */
  async outbound(packets: readonly Injected[], traffic: OutboundTraffic): Promise<Buffer[][]> {
    const round = ++this.#rounds;
    const wire = this.#wire;
    wire.atPeer = wire.atPeer.map(() => []);
    wire.fromPlain = [];
    for (const { bytes } of packets) wire.inject('tun', bytes);
    for (const destination of ENDS) wire.inject('tun', traffic.sentinel(destination, round));
    await this.#accepted('packets into the TUN');
    await wire.until(`the end of batch ${round} at each peer`, () =>
      ENDS.every((_end, peer) => wire.atPeer[peer]?.at(-1)?.includes(sentinelText(round))),
    );
    return wire.atPeer.slice(0, ENDS.length).map((each) => each.slice(0, -1));
  }

  /** What the kernel makes of the same packets, where no engine is: the reference for those that leave. */
  async byKernel(packets: readonly Injected[], traffic: OutboundTraffic): Promise<Buffer[]> {
    const round = ++this.#rounds;
    const wire = this.#wire;
    wire.fromPlain = [];
    for (const { bytes } of packets) wire.inject('plain', bytes);
    wire.inject('plain', traffic.sentinel(ENDS[0], round));
    await this.#accepted('packets into the plain device');
    await wire.until(`the end of batch ${round}`, () => endsWith(wire.fromPlain, sentinelText(round)));
    const made = wire.fromPlain.slice(0, -1);
    wire.fromPlain = [];
    return made;
  }

  /** What the engine has answered: with what is in the plain device when a packet from outside has come there. */
  async answers(): Promise<Buffer[]> {
    return await this.inbound([]);
  }

  /** What comes out of the plain device for datagrams that reach the engine together: it stands still meanwhile. */
  async inbound(burst: readonly Arriving[], segmented = false): Promise<Buffer[]> {
    const round = ++this.#rounds;
    const wire = this.#wire;
    await whileStopped(this.#lab.pid, async () => {
      for (const { from, bytes, segment } of segmented ? inSegments(burst) : singly(burst))
        wire.send(from, bytes, segment);
      wire.send(0, endOfBurst(round));
      await this.#accepted('datagrams to the engine');
    });
    await wire.until(`the end of burst ${round}`, () => endsWith(wire.fromPlain, sentinelText(round)));
    const packets = wire.fromPlain.slice(0, -1);
    wire.fromPlain = [];
    return packets;
  }

  /** Datagrams that the engine's socket had no room for: then nothing is proved. */
  overflowed(): number {
    const sockets = readFileSync(`/proc/${this.#lab.pid}/net/udp`, 'utf8').split('\n').slice(1);
    return sockets.reduce((sum, line) => sum + Number(line.trim().split(/\s+/).at(-1) || 0), 0);
  }

  async stats(): Promise<EngineStats> {
    return await this.datapath.stats();
  }

  /** How often the engine has written into the TUN. */
  async writes(): Promise<number> {
    return (await this.#lab.outOfTun()).packets;
  }

  async remove(): Promise<void> {
    await this.#lab.remove();
  }

  async #accepted(what: string): Promise<void> {
    const refused = await this.#wire.sync();
    if (refused > 0)
      throw new Error(`the kernel refused ${refused} ${what}: the generator made what it does not take`);
  }
}

function endsWith(packets: readonly Buffer[], text: string): boolean {
  return packets.at(-1)?.includes(text) ?? false;
}

/** A fragment: it may be of any flow, so it comes after all that came before it. */
function endOfBurst(round: number): Buffer {
  const ip = { source: ENDS[0], destination: END_INSIDE, fragment: 0x2000, protocol: UDP };
  return udpPacketOf(ip, { sourcePort: 1, destinationPort: 1 }, Buffer.from(sentinelText(round)), 'full')
    .bytes;
}

interface Sent {
  readonly from: number;
  readonly bytes: Buffer;
  readonly segment: number;
}

function singly(burst: readonly Arriving[]): Sent[] {
  return burst.map(({ from, bytes }) => ({ from, bytes, segment: 0 }));
}

/** Those of one size that follow on each other leave in one segmented send, with one that may be shorter. */
function inSegments(burst: readonly Arriving[]): Sent[] {
  const sends: Sent[] = [];
  let open: { from: number; parts: Buffer[]; size: number; total: number } | undefined;
  const close = () => {
    if (open !== undefined)
      sends.push({
        from: open.from,
        bytes: Buffer.concat(open.parts),
        segment: open.parts.length > 1 ? open.size : 0,
      });
    open = undefined;
  };
  for (const { from, bytes } of burst) {
    const fits =
      open !== undefined &&
      open.from === from &&
      bytes.length > 0 &&
      bytes.length <= open.size &&
      open.parts.length < 64 &&
      open.total + bytes.length <= 65_000;
    if (!fits) close();
    open ??= { from, parts: [], size: bytes.length, total: 0 };
    open.parts.push(bytes);
    open.total += bytes.length;
    if (bytes.length < open.size) close();
  }
  close();
  return sends;
}
