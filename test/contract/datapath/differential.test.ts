import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byFlow, comparable, forwarded } from './differential/compare.ts';
import { DifferentialLab } from './differential/differential-lab.ts';
import { type Arriving, InboundTraffic } from './differential/inbound-traffic.ts';
import { OutboundTraffic } from './differential/outbound-traffic.ts';
import { Random } from './differential/random.ts';
import { dropped } from './engine-lab.ts';
import { dgramHarness, firstObstacle, nativeHarness } from './harness.ts';

/** CORDUROY_SEED repeats a run. */
const SEED = Number(process.env.CORDUROY_SEED ?? Date.now() % 2 ** 32);
/** How much: CORDUROY_ROUNDS batches each way, of a hundred packets or so. */
const ROUNDS = Number(process.env.CORDUROY_ROUNDS ?? 12);
/** ICMP errors in one go: fewer than the engines send at once (a hundred), however long ago the last was. */
const ANSWERED = 80;
const SECOND_FOR_ALL_ANSWERS = 1100;

/**
 * Both engines are given the same packets, and whatever comes out has to be the same, and what the kernel does where it
 * can do the same: cut up super packets, complete checksums, forward.
 */
describe.each([{ mtu: 1400 }, { mtu: 65_507 }])(`both engines, MTU $mtu, seed ${SEED}`, ({ mtu }) => {
  const probe = firstObstacle(nativeHarness.probe(), dgramHarness.probe());
  let labs: { readonly native: DifferentialLab; readonly dgram: DifferentialLab };

  beforeAll(async () => {
    if (!probe.ok) return;
    labs = {
      native: await DifferentialLab.create(nativeHarness, mtu),
      dgram: await DifferentialLab.create(dgramHarness, mtu),
    };
  });
  afterAll(async () => {
    await labs?.native.remove();
    await labs?.dgram.remove();
  });

  test('outbound: the same datagrams in the same order to each peer, as the kernel would make them', async ({
    skip,
  }) => {
    if (!probe.ok) return skip(probe.reason);
    const traffic = new OutboundTraffic(new Random(SEED), mtu);
    for (let round = 0; round < ROUNDS; round++) {
      const packets = Array.from({ length: 100 }, () => traffic.next());
      const native = await labs.native.outbound(packets, traffic);
      const dgram = await labs.dgram.outbound(packets, traffic);
      for (const [peer, datagrams] of native.entries())
        expectSame(datagrams, dgram[peer] ?? [], `native and dgram, to peer ${peer}, round ${round}`);
      const kernel = await labs.native.byKernel(
        packets.filter(({ fate }) => fate === 'sent'),
        traffic,
      );
      for (const [peer, datagrams] of native.entries())
        expectSame(
          datagrams,
          kernel.filter((each) => isTo(each, peer)),
          `native and the kernel, peer ${peer}, round ${round}`,
        );
    }
    await expectSameStats();
  });

  test('outbound: the same ICMP errors, byte for byte', async ({ skip }) => {
    if (!probe.ok) return skip(probe.reason);
    const traffic = new OutboundTraffic(new Random(SEED + 1), mtu);
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, SECOND_FOR_ALL_ANSWERS));
      const packets = Array.from({ length: ANSWERED }, () => traffic.nextAnswered());
      const answers: Buffer[][] = [];
      for (const lab of [labs.native, labs.dgram]) {
        await lab.outbound(packets, traffic);
        answers.push(await lab.answers());
      }
      expect(answers[0]?.length).toBeGreaterThan(ANSWERED / 4);
      expectSame(answers[0] ?? [], answers[1] ?? [], `the ICMP errors of native and dgram, round ${round}`);
    }
    await expectSameStats();
  });

  test.for([{ segmented: false }, { segmented: true }])(
    'inbound: the same packets, each flow in order, as they were sent; segmented: $segmented',
    async ({ segmented }, { skip }) => {
      if (!probe.ok) return skip(probe.reason);
      const before = [await counts(labs.native), await counts(labs.dgram)];
      const traffic = new InboundTraffic(new Random(SEED + 2 + Number(segmented)), mtu);
      for (let round = 0; round < ROUNDS; round++) {
        const burst = traffic.burst(180_000, 110);
        const native = await labs.native.inbound(burst, segmented);
        const dgram = await labs.dgram.inbound(burst, segmented);
        expect([labs.native.overflowed(), labs.dgram.overflowed()]).toEqual([0, 0]);
        const sent = burst.filter(({ fate }) => fate === 'forwarded').map(wholeOf);
        expectSameFlows(native, sent, `native and what was sent, round ${round}`);
        expectSameFlows(dgram, sent, `dgram and what was sent, round ${round}`);
      }
      await expectSameStats();
      if (mtu === 1400)
        for (const [index, lab] of [labs.native, labs.dgram].entries())
          await expectJoined(lab, before[index]);
    },
  );

  async function expectSameStats(): Promise<void> {
    const [native, dgram] = [await labs.native.stats(), await labs.dgram.stats()];
    expect(dropped(native)).toEqual(dropped(dgram));
    const traffic = ({ peers }: typeof native) =>
      peers.map(({ address, sentPackets, sentBytes, receivedPackets, receivedBytes }) => [
        address.toString(),
        sentPackets,
        sentBytes,
        receivedPackets,
        receivedBytes,
      ]);
    expect(traffic(native)).toEqual(traffic(dgram));
  }
});

/** Packets that were admitted, and writes into the TUN. */
async function counts(lab: DifferentialLab): Promise<{ readonly packets: number; readonly writes: number }> {
  const { peers } = await lab.stats();
  const packets = peers.reduce((sum, { receivedPackets }) => sum + Number(receivedPackets), 0);
  return { packets, writes: await lab.writes() };
}

/** Else the joining was not tried, or the kernel refused it. */
async function expectJoined(lab: DifferentialLab, before = { packets: 0, writes: 0 }): Promise<void> {
  const { offloads } = await lab.stats();
  expect(offloads.find(({ offload }) => offload === 'tun-tso')).toMatchObject({ state: 'on' });
  const after = await counts(lab);
  expect(after.writes - before.writes).toBeLessThan(after.packets - before.packets);
}

function wholeOf({ bytes, length }: Arriving): Buffer {
  return forwarded(bytes.subarray(0, length));
}

function isTo(packet: Buffer, peer: number): boolean {
  return (packet[0] ?? 0) >> 4 === 4 ? packet[18] === 2 + peer : packet.readUInt16BE(28) === 2 + peer;
}

/** Tells the first packet that differs, and where: a diff of thousands of packets helps nobody. */
function expectSame(one: readonly Buffer[], other: readonly Buffer[], what: string): void {
  for (const [index, packet] of one.entries()) {
    const counterpart = other[index];
    if (counterpart !== undefined && packet.equals(counterpart)) continue;
    expect.fail(difference(what, index, packet.toString('hex'), counterpart?.toString('hex')));
  }
  expect(one.length, `${what}, seed ${SEED}: the number of packets`).toBe(other.length);
}

function expectSameFlows(came: readonly Buffer[], sent: readonly Buffer[], what: string): void {
  const one = byFlow(came.map(comparable));
  const other = byFlow(sent.map(comparable));
  for (const [flow, packets] of other) {
    const counterparts = one.get(flow) ?? [];
    for (const [index, packet] of packets.entries()) {
      if (counterparts[index] !== packet)
        expect.fail(difference(`${what}, ${flow}`, index, counterparts[index], packet));
    }
    expect(counterparts.length, `${what}, seed ${SEED}: packets of ${flow}`).toBe(packets.length);
  }
  expect([...one.keys()].sort()).toEqual([...other.keys()].sort());
}

function difference(what: string, index: number, one: string | undefined, other: string | undefined): string {
  let at = 0;
  while (one !== undefined && other !== undefined && one[at] === other[at]) at++;
  const part = (text: string | undefined) =>
    text === undefined ? 'nothing' : `${text.length / 2} bytes ${text.slice(0, 240)}`;
  return `${what}, seed ${SEED}: packet ${index} differs from byte ${at >> 1} on\n  ${part(one)}\n  ${part(other)}`;
}
