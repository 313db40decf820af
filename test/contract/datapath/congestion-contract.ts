import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Datapath } from '../../../src/datapath/datapath.ts';
import { dropped, type EngineLab, HOST, MTU, PEER_A, PORT } from './engine-lab.ts';

const MEBIBYTE = 1024 * 1024;
/** Lets the underlay queue more than any socket buffer holds, so that it is the engine's socket that fills up. */
const SLOW_UNDERLAY = ['root', 'tbf', 'rate', '1mbit', 'burst', '64kb', 'limit', '1gb'] as const;
/** Sends without end, as fast as the kernel lets it. */
const FLOOD = `
  const [size, from, to] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket('udp4');
  const payload = Buffer.alloc(Number(size));
  const flood = () => {
    for (let packet = 0; packet < 64; packet++) socket.send(payload);
    setImmediate(flood);
  };
  socket.bind(0, from, () => socket.connect(9, to, flood));
`;

/** An underlay that takes less than the containers send. */
export function describeCongestion(lab: () => EngineLab): void {
  // Small packets as well: what an engine needs for a packet apart from its bytes is bounded too.
  test.for([
    ['large', MTU - 28],
    ['small', 1],
  ] as const)(
    'a flood of %s packets is dropped and counted, and not kept in memory',
    { timeout: 90_000 },
    async ([_what, size], { skip }) => {
      const obstacle = await slowDown(lab());
      if (obstacle !== undefined) return skip(obstacle);
      const datapath = await lab().connectConfigured();
      const before = residentBytes(lab().pid);
      const flood = lab().namespace.spawn(
        process.execPath,
        ['-e', FLOOD, '--', String(size), HOST.inner, PEER_A.inner],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      await refusedBy(datapath, 50_000n);
      const grown = residentBytes(lab().pid) - before;
      flood.kill('SIGKILL');
      await once(flood, 'exit');

      expect(grown).toBeLessThan(64 * MEBIBYTE);
      const { 'out-send-error': refused = 0n, ...others } = dropped(await datapath.stats());
      expect(refused).toBeGreaterThan(0n);
      expect(others).toEqual({});
      expect(lab().log.match(/cannot send/g)).toHaveLength(1);

      // Once the underlay is as fast as before, so is the engine.
      await lab().namespace.run('tc', 'qdisc', 'delete', 'dev', 'lo', 'root');
      const peer = await lab().agent.open(PEER_A.outer, PORT);
      const local = await lab().agent.open(HOST.inner);
      local.send(Buffer.from('afterwards'), PEER_A.inner, 9);
      let text: string;
      do text = (await peer.next()).bytes.subarray(28).toString();
      while (text !== 'afterwards');
    },
  );
}

/** What this machine lacks for a slow underlay, if anything. */
async function slowDown(lab: EngineLab): Promise<string | undefined> {
  try {
    await lab.namespace.run('tc', 'qdisc', 'add', 'dev', 'lo', ...SLOW_UNDERLAY);
    return undefined;
  } catch (error) {
    if (error instanceof Error && /ENOENT|kind is unknown/.test(error.message))
      return `needs tc and the kernel's sch_tbf: ${error.message}`;
    throw error;
  }
}

/** Resolves when the engine has dropped so many: far more than all buffers hold. */
async function refusedBy(datapath: Datapath, packets: bigint): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (let refused = 0n; refused < packets; await sleep(20)) {
    if (performance.now() > deadline) throw new Error(`the engine dropped ${refused} packets in a minute`);
    refused = (await datapath.stats()).drops['out-send-error'];
  }
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return Number(kilobytes) * 1024;
}
