import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { ClusterLab, clusterObstacle, NO_HARM } from '../support/cluster-lab.ts';
import { until } from '../support/lab.ts';

/** Milliseconds that a fault lasts. */
const FAULT = 4000;

/** In each: no ping between any two hosts is lost, no subnet changes, and then every daemon follows etcd within 5 s. */
describe.skipIf(clusterObstacle())(`faults of an etcd of three members ${clusterObstacle() ?? ''}`, () => {
  let lab: ClusterLab;
  let h1: LabHost;

  beforeAll(async () => {
    lab = await ClusterLab.start(3);
    [h1] = lab.hosts as [LabHost];
  });
  afterAll(async () => {
    await lab?.remove();
  });
  beforeEach(async () => {
    await lab.mend();
  });

  it('the leader is killed, and comes back', async () => {
    const harm = await lab.harmOf(async () => {
      const leader = await lab.cluster.leader();
      await leader.kill();
      await sleep(FAULT);
      // Two of three are enough to follow.
      await lab.follows();
      lab.cluster.restart(leader);
      await lab.cluster.healthy();
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('each member in turn hangs with all its connections open', async () => {
    const harm = await lab.harmOf(async () => {
      for (const member of lab.cluster.members) {
        await member.stop();
        await sleep(FAULT);
        member.cont();
        await lab.cluster.healthy();
      }
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('the leader is cut off from everybody', async () => {
    const harm = await lab.harmOf(async () => {
      const leader = await lab.cluster.leader();
      await leader.setLink('down');
      await sleep(FAULT);
      await lab.cluster.healthy(lab.cluster.members.filter((member) => member !== leader));
      await leader.setLink('up');
      await lab.cluster.healthy();
    });
    expect(harm).toEqual(NO_HARM);
  });

  for (const how of ['kill', 'stop'] as const) {
    it(`the quorum is lost: two members ${how === 'kill' ? 'are killed' : 'hang'}`, async () => {
      const harm = await lab.harmOf(async () => {
        const two = lab.cluster.members.slice(0, 2);
        await Promise.all(two.map((member) => member[how]()));
        const allSaySo = async () => {
          const problems = await Promise.all(lab.hosts.map((host) => lab.problems(host)));
          return problems.every((text) => text.includes('etcd'));
        };
        await until('the daemons say so', allSaySo, 20_000);
        for (const host of lab.hosts) expect((await lab.test.status(host)).lease?.state).toBe('held');
        for (const member of two) {
          member.cont();
          if (!member.isRunning) lab.cluster.restart(member);
        }
        await lab.cluster.healthy();
      });
      expect(harm).toEqual(NO_HARM);
    });
  }

  it('what a daemon still has to be told is compacted away', async () => {
    const harm = await lab.harmOf(async () => {
      await lab.compactUnder(h1);
      await until('it has noticed', () => lab.test.log(h1).includes('compacted away'));
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('a disk is slow: 100 ms for every fdatasync of the leader', async () => {
    const harm = await lab.harmOf(async () => {
      const member = await lab.cluster.leader();
      await member.kill();
      lab.cluster.restart(member, 100);
      await lab.cluster.healthy();
      await sleep(FAULT);
      await lab.follows();
      await member.kill();
      lab.cluster.restart(member);
      await lab.cluster.healthy();
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('all members are restarted, and have forgotten every token', async () => {
    expect(await lab.harmOf(() => lab.cluster.restartAll())).toEqual(NO_HARM);
  });

  it("the daemons' user may not write the network config, nor read what is not of the network", async () => {
    const config = await lab.test.attempt(
      h1,
      'corduroy',
      'config',
      'set',
      '--force',
      '{"Network":"10.99.0.0/16"}',
    );
    expect(config.code).not.toBe(0);
    expect(config.stderr).toContain('permission denied');
    const outside = await lab.test.attempt(h1, 'corduroy', 'config', 'get', '--etcd-prefix', '/elsewhere');
    expect(outside.stderr).toContain('permission denied');
  });
});
