import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { ipPacket, UDP, udpPacketOf } from './differential/packet-maker.ts';
import {
  CONFIG,
  dropped,
  type EngineLab,
  HOST,
  INNER_PORT,
  PEER_A,
  PORT,
  route,
  statsUntil,
  TABLE,
  TUN,
} from './engine-lab.ts';

/** By their bits, as nft calls them. */
const MARKS = ['not-ect', 'ect1', 'ect0', 'ce'] as const;
const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

const OUTER = [
  ['IPv4', 'ip', HOST.outer, PEER_A.outer],
  ['IPv6', 'ip6', HOST.outerV6, PEER_A.outerV6],
] as const;
const INNER = [
  { nft: 'ip', host: HOST.inner, peer: PEER_A.inner },
  { nft: 'ip6', host: HOST.innerV6, peer: PEER_A.innerV6 },
] as const;

/** RFC 6040, observed and forced by the packet filter. */
export function describeEcn(lab: () => EngineLab): void {
  for (const [family, outer, host, peerAddress] of OUTER) {
    test.each([
      ['copied', true],
      ['left out', false],
    ] as const)(`over ${family}, the inner mark is %s: ecn is %s`, async (_what, ecn) => {
      await connectOver(lab(), host, peerAddress, ecn);
      const filter = await Filter.create(lab());
      const peer = await lab().agent.open(peerAddress, PORT);
      const expected = [0, 0, 0, 0];
      for (const inner of INNER) {
        const local = await lab().agent.open(inner.host);
        for (const mark of [NOT_ECT, ECT_1, ECT_0, CE]) {
          await filter.set('force', `${inner.nft} daddr ${inner.peer} ${inner.nft} ecn set ${MARKS[mark]}`);
          await filter.count(`udp dport ${PORT} ${outer} ecn`);
          local.send(Buffer.from('marked'), inner.peer, 9);
          await peer.next();
          const there = [...expected];
          there[ecn ? mark : NOT_ECT] = 1;
          expect(await filter.counted()).toEqual(there);
        }
      }
    });

    test(`over ${family}, a mark that was made on the way comes in, or the packet is dropped`, async () => {
      const datapath = await connectOver(lab(), host, peerAddress, false);
      const filter = await Filter.create(lab());
      const peer = await lab().agent.open(peerAddress, 5000);
      let dropsExpected = 0n;
      for (const { nft, host: destination, peer: source } of INNER) {
        const local = await lab().agent.open(destination, INNER_PORT);
        for (const [outerMark, innerMark] of pairs()) {
          await filter.set('force', `udp sport 5000 ${outer} ecn set ${MARKS[outerMark]}`);
          await filter.count(`iifname ${TUN} ${nft} ecn`);
          const text = `${MARKS[outerMark]} over ${MARKS[innerMark]}`;
          peer.send(marked(source, destination, innerMark, text), host, PORT);
          const comes = decapsulated(outerMark, innerMark);
          if (comes === undefined) {
            dropsExpected++;
            const stats = await statsUntil(datapath, ({ drops }) => drops['in-congestion'] === dropsExpected);
            expect(dropped(stats)).toEqual({ 'in-congestion': dropsExpected });
            continue;
          }
          // It is here, so the checksum of its header is right.
          expect((await local.next()).bytes.toString()).toBe(text);
          const there = [0, 0, 0, 0];
          there[comes] = 1;
          expect(await filter.counted(), text).toEqual(there);
        }
      }
    });
  }
}

/** RFC 6040 figure 4. `undefined`: dropped. */
function decapsulated(outer: number, inner: number): number | undefined {
  if (outer === CE) return inner === NOT_ECT ? undefined : CE;
  return outer === ECT_1 && inner === ECT_0 ? ECT_1 : inner;
}

function pairs(): [outer: number, inner: number][] {
  return MARKS.flatMap((_outer, outer) => MARKS.map((_inner, inner): [number, number] => [outer, inner]));
}

function marked(source: string, destination: string, tos: number, text: string): Buffer {
  const ports = { sourcePort: 4000, destinationPort: INNER_PORT };
  const { bytes, transport } = udpPacketOf({ source, destination }, ports, Buffer.from(text), 'full');
  return ipPacket({ source, destination, tos, protocol: UDP }, bytes.subarray(transport)).bytes;
}

async function connectOver(lab: EngineLab, host: string, peer: string, ecn: boolean) {
  return await lab.connectConfigured(
    { ...CONFIG, ecn, listen: { address: Ip.parse(host), port: PORT } },
    { ...TABLE, routes: [route('10.5.2.0/24', peer), route('fd00:5:2::/64', peer)] },
  );
}

/** The packet filter of the namespace: it marks what leaves, and counts by mark what passes. */
class Filter {
  readonly #lab: EngineLab;

  private constructor(lab: EngineLab) {
    this.#lab = lab;
  }

  static async create(lab: EngineLab): Promise<Filter> {
    await lab.namespace.run(
      'nft',
      'add table inet marks; ' +
        'add chain inet marks force { type filter hook output priority -150; }; ' +
        'add chain inet marks watch { type filter hook input priority 0; }',
    );
    return new Filter(lab);
  }

  /** One rule in place of all that the chain has. */
  async set(chain: string, rule: string): Promise<void> {
    await this.#lab.namespace.run(
      'nft',
      `flush chain inet marks ${chain}; add rule inet marks ${chain} ${rule}`,
    );
  }

  /** Counts from zero; `what` is what a rule matches, up to the mark. */
  async count(what: string): Promise<void> {
    const rules = MARKS.map((mark) => `add rule inet marks watch ${what} ${mark} counter`);
    await this.#lab.namespace.run('nft', ['flush chain inet marks watch', ...rules].join('; '));
  }

  /** By mark. Asks until there is something: the counter is older than what a socket has got. */
  async counted(): Promise<number[]> {
    for (const deadline = performance.now() + 5000; ; await sleep(10)) {
      const list = await this.#lab.namespace.run('nft', 'list chain inet marks watch');
      const counts = [...list.matchAll(/counter packets (\d+)/g)].map(([, packets]) => Number(packets));
      if (counts.some((packets) => packets > 0) || performance.now() > deadline) return counts;
    }
  }
}
