import { expect, test } from 'vitest';
import { udpPacket } from '../../support/packets.ts';
import { CONFIG, dropped, EngineLab, HOST, INNER_PORT, PEER_A, PEER_B, PORT } from './engine-lab.ts';
import { nativeHarnessOf } from './harness.ts';

const QUEUES = 2;
const FLOWS = 24;

/** Several queues, which the kernel spreads the flows over. */
export function describeQueues(): void {
  test('two queues: packets of many flows and peers get through, both ways', async ({ skip }) => {
    const harness = nativeHarnessOf(QUEUES);
    const probe = harness.probe();
    if (!probe.ok) return skip(probe.reason);
    const lab = await EngineLab.create(harness);
    try {
      const datapath = await lab.connectConfigured({ ...CONFIG, queues: QUEUES });
      const inside = await lab.agent.open(HOST.inner, INNER_PORT);
      for (const peerOf of [PEER_A, PEER_B]) {
        const peer = await lab.agent.open(peerOf.outer, PORT);
        for (let flow = 0; flow < FLOWS; flow++) {
          const local = await lab.agent.open(HOST.inner);
          local.send(Buffer.from(`out ${flow}`), peerOf.inner, 9);
          expect((await peer.next()).bytes.subarray(28).toString()).toBe(`out ${flow}`);

          // A flow of the underlay for each flow inside, as for many peers.
          const sender = await lab.agent.open(peerOf.outer, 6000 + flow);
          const packet = {
            source: peerOf.inner,
            destination: HOST.inner,
            destinationPort: INNER_PORT,
            payload: `in ${flow}`,
          };
          sender.send(udpPacket(packet), HOST.outer, PORT);
          expect((await inside.next()).bytes.toString()).toBe(`in ${flow}`);
        }
      }
      const stats = await datapath.stats();
      expect(dropped(stats)).toEqual({});
      expect(stats.peers.map(({ sentPackets, receivedPackets }) => [sentPackets, receivedPackets])).toEqual([
        [BigInt(FLOWS), BigInt(FLOWS)],
        [BigInt(FLOWS), BigInt(FLOWS)],
      ]);
    } finally {
      await lab.remove();
    }
  });
}
