import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`host-gw with hosts that it cannot reach ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let h3: LabHost;

  beforeAll(async () => {
    lab = await TestLab.start({ backend: { Type: 'host-gw' }, links: 2 });
    [h1, h2, h3] = (await lab.addHosts(3)) as [LabHost, LabHost, LabHost];
    await lab.putLease('10.244.250.0-24', '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
    await until('h1 has heard of all', async () => {
      const { peers, ignoredLeases } = await lab.status(h1);
      return peers.length === 1 && ignoredLeases.length === 2;
    });
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('reaches the one on its link', async () => {
    const target = containerAddress([await lab.subnet(h3)]);
    await until('h3 answers', () => lab.pings(h1.container.namespace, target));
  });

  it('names the one behind a router, and what would reach it', async () => {
    const key = (await lab.status(h2)).lease?.key;
    const { ignoredLeases } = await lab.status(h1);
    const reason = ignoredLeases.find((one) => one.key === key)?.reason;
    expect(reason).toMatch(/198\.51\.100\.2 .*link/);
    expect(reason).toMatch(/vxlan/);
    expect(await lab.on(h1, 'ip', 'route')).not.toContain(await lab.subnet(h2));
  });

  it("names flanneld's of another backend, in the status for people, too", async () => {
    const status = await lab.on(h1, 'corduroy', 'status');
    expect(status).toMatch(
      /ignored: .*\/10\.244\.250\.0-24: its BackendType is absent \(udp or alloc\), not host-gw/,
    );
    expect(await lab.on(h1, 'ip', 'route')).not.toContain('10.244.250.0');
  });
});
