import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { ClusterLab, clusterObstacle, NO_HARM } from '../support/cluster-lab.ts';
import { contentKey } from '../support/etcd-content.ts';

const leaseOf = (publicIp: string) => JSON.stringify({ PublicIP: publicIp, PublicIPv6: null });

describe.skipIf(clusterObstacle())(`etcd restored from a backup ${clusterObstacle() ?? ''}`, () => {
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

  it('of a moment ago: nothing changes', async () => {
    const backup = await lab.cluster.saveSnapshot('now');
    expect(await lab.harmOf(() => lab.cluster.restoreAll(backup))).toEqual(NO_HARM);
  });

  it('from before a lease was given back: it is there again, and goes again', async () => {
    const stale = contentKey('10.244.252.0/24');
    await lab.cluster.etcdctl('put', stale, leaseOf('192.0.2.238'));
    const backup = await lab.cluster.saveSnapshot('stale');
    await lab.cluster.etcdctl('del', stale);
    await lab.follows();
    const harm = await lab.harmOf(async () => {
      await lab.cluster.restoreAll(backup);
      await lab.follows();
      expect((await lab.test.status(h1)).peers.map(({ publicIp }) => publicIp)).toContain('192.0.2.238');
      await lab.cluster.etcdctl('del', stale);
    });
    expect(harm).toEqual(NO_HARM);
  });

  it('from before a host came: it keeps its subnet, and nobody stops sending to it', async () => {
    const backup = await lab.cluster.saveSnapshot('without-h4');
    lab.hosts.push(await lab.test.lab.addHost(4));
    await lab.follows();
    expect(await lab.harmOf(() => lab.cluster.restoreAll(backup))).toEqual(NO_HARM);
  });

  it('from before an address changed: the new one is published again, and nobody sends to the old one', async () => {
    const backup = await lab.cluster.saveSnapshot('old-address');
    await lab.changeAddress(h2, '192.0.2.22');
    await lab.follows(15_000);
    expect(await lab.harmOf(() => lab.cluster.restoreAll(backup))).toEqual(NO_HARM);
  });
});
