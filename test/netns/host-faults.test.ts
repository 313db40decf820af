import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { STATE_FILES } from '../../src/config/names.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { ClusterLab, clusterObstacle, NO_HARM } from '../support/cluster-lab.ts';
import type { Outage } from '../support/ping-watch.ts';

/** Milliseconds for which a host whose address changes may be out of reach. */
const ADDRESS_CHANGE = 3000;

describe.skipIf(clusterObstacle())(`faults of hosts around a real etcd ${clusterObstacle() ?? ''}`, () => {
  let lab: ClusterLab;
  let h1: LabHost;
  let h2: LabHost;

  beforeAll(async () => {
    lab = await ClusterLab.start(3);
    [h1, h2] = lab.hosts as [LabHost, LabHost];
  });
  afterAll(async () => {
    await lab?.remove();
  });
  beforeEach(async () => {
    await lab.mend();
  });

  const loseQuorum = async () => {
    const two = lab.cluster.members.slice(1);
    await Promise.all(two.map((member) => member.kill()));
  };
  const regainQuorum = async () => {
    for (const member of lab.cluster.members.slice(1)) lab.cluster.restart(member);
    await lab.cluster.healthy();
  };
  const isOthers = ({ from, to }: Outage) => from !== h1.name && to !== h1.name;

  it('a daemon is killed, and comes back to the data plane that went on', async () => {
    const harm = await lab.harmOf(async () => {
      const { engine } = await lab.test.status(h1);
      await lab.killDaemon(h1);
      await sleep(1000);
      lab.startDaemon(h1);
      expect((await lab.test.lab.untilReady(h1)).engine?.pid).toBe(engine?.pid);
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('a daemon is killed, and comes back while etcd has no quorum', async () => {
    const harm = await lab.harmOf(async () => {
      await loseQuorum();
      await lab.killDaemon(h1);
      lab.startDaemon(h1);
      expect((await lab.test.lab.untilReady(h1)).remembered).toBeDefined();
      await regainQuorum();
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('a daemon comes back without etcd, and what it remembers is older than what its data plane has', async () => {
    const memory = join(h1.stateDir, STATE_FILES.network);
    const older = readFileSync(memory);
    await lab.changeAddress(h2, '192.0.2.22');
    await lab.follows();
    const harm = await lab.harmOf(async () => {
      await loseQuorum();
      await lab.killDaemon(h1);
      writeFileSync(memory, older);
      lab.startDaemon(h1);
      expect((await lab.test.lab.untilReady(h1)).remembered).toBeDefined();
      await regainQuorum();
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('an address changes: only packets of that host wait, and only until the others know', async () => {
    const changedAt = Date.now();
    const { outages, moved } = await lab.harmOf(() => lab.changeAddress(h1, '192.0.2.21'));
    expect(outages.filter(isOthers)).toEqual([]);
    for (const { lastAt } of outages) expect(lastAt - changedAt).toBeLessThan(ADDRESS_CHANGE);
    expect(moved).toEqual([]);
  });

  it('an address changes while etcd has no quorum: the others know it as soon as it has', async () => {
    let healedAt = Number.POSITIVE_INFINITY;
    const { outages, moved } = await lab.harmOf(async () => {
      await loseQuorum();
      await lab.changeAddress(h1, '192.0.2.41');
      await sleep(3000);
      await regainQuorum();
      healedAt = Date.now();
    });
    expect(outages.filter(isOthers)).toEqual([]);
    for (const { lastAt } of outages) expect(lastAt - healedAt).toBeLessThan(ADDRESS_CHANGE);
    expect(moved).toEqual([]);
  });
});
