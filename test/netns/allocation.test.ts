import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

/** Three subnets: the first of the four is never leased by default. */
const SMALL = { network: '10.244.0.0/22' };

describe.skipIf(labObstacle())(`a small range ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let hosts: LabHost[];

  beforeAll(async () => {
    lab = await TestLab.start(SMALL);
    hosts = [];
    for (let index = 1; index <= 4; index++) hosts.push(await lab.lab.prepareHost(index));
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('never gives one subnet to two daemons started at the same instant, twenty times', async () => {
    const [h1, h2] = hosts as [LabHost, LabHost];
    for (let round = 1; round <= 20; round++) {
      lab.lab.startDaemon(h1);
      lab.lab.startDaemon(h2);
      const subnets = await Promise.all(
        [h1, h2].map(async (host) => (await lab.lab.untilReady(host)).lease?.subnets[0]),
      );
      const [one, other] = subnets.map((text) => Prefix.parse(text ?? ''));
      expect(one?.overlaps(other as Prefix), `round ${round}: ${subnets}`).toBe(false);
      await Promise.all([h1, h2].map((host) => lab.on(host, 'corduroy', 'down', '--release')));
      expect(await lab.etcdctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/subnets/`)).toBe('');
    }
  }, 300_000);

  it('says clearly that the range is full, and recovers when a subnet is freed', async () => {
    const [h1, , , h4] = hosts as [LabHost, LabHost, LabHost, LabHost];
    for (const host of hosts.slice(0, 3)) lab.lab.startDaemon(host);
    for (const host of hosts.slice(0, 3)) await lab.lab.untilReady(host);
    lab.lab.startDaemon(h4);
    await until(
      'h4 says so',
      async () =>
        (await lab.status(h4).catch(() => undefined))?.problems
          .join()
          .includes('out of subnets: all 3 subnets') ?? false,
    );
    expect((await lab.attempt(h4, 'corduroy', 'status')).code).toBe(1);
    expect(lab.log(h4).match(/out of subnets/g)).toHaveLength(1);

    const freed = await lab.subnet(h1);
    await lab.on(h1, 'corduroy', 'down', '--release');
    expect(await until('h4 has it', async () => (await lab.status(h4)).ready)).toBeLessThan(3000);
    expect(await lab.subnet(h4)).toBe(freed);
  });
});
