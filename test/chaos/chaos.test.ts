import { describe, it } from 'vitest';
import { clusterObstacle } from '../support/cluster-lab.ts';
import { runChaos } from './chaos.ts';
import type { FaultKind } from './schedule.ts';

/** `make test-chaos` has them longer, and can repeat a seed. */
const SECONDS = Number(process.env.CHAOS_SECONDS || 60);
const SEED = Number(process.env.CHAOS_SEED || Date.now() % 2 ** 31);
/** For whoever looks for the cause of something. */
const WITHOUT = (process.env.CHAOS_WITHOUT ?? '').split(',').filter(Boolean) as FaultKind[];

describe.skipIf(clusterObstacle())(`a cluster under random faults ${clusterObstacle() ?? ''}`, () => {
  it('never loses a packet, a subnet or a route because of etcd', {
    timeout: (SECONDS + 180) * 1000,
  }, async () => {
    const write = (line: string) => void process.stderr.write(`${line}\n`);
    write(await runChaos({ seed: SEED, seconds: SECONDS, without: WITHOUT, write }));
  });
});
