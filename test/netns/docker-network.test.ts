import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { DockerHosts } from '../support/docker-hosts.ts';
import { dockerObstacle, type TestContainer, type TestDockerd } from '../support/dockerd.ts';
import { until } from '../support/lab.ts';

/** A subnet of the lab's network that no host of two has. */
const ELSEWHERE = '10.244.255.0/24';

describe.skipIf(dockerObstacle())(`--docker=network on two hosts ${dockerObstacle() ?? ''}`, () => {
  let hosts: DockerHosts;
  let h1: LabHost;
  let d1: TestDockerd;
  let d2: TestDockerd;
  const c: TestContainer[] = [];

  beforeAll(async () => {
    hosts = await DockerHosts.start(2, { docker: 'network', 'ip-masq': true });
    [h1, [d1, d2]] = [hosts.hosts[0] as LabHost, hosts.dockerds as [TestDockerd, TestDockerd]];
    await d1.start(); // One host has its dockerd before the daemon, the other one after it.
    for (const host of hosts.hosts) await hosts.startDaemon(host);
    await d2.start();
  });
  afterAll(() => hosts?.remove());

  const subnetOf = async (dockerd: TestDockerd) =>
    await dockerd
      .docker('network', 'inspect', '-f', '{{range .IPAM.Config}}{{.Subnet}}{{end}}', 'corduroy')
      .catch(() => 'none');
  const isThere = (dockerd: TestDockerd, index: number) =>
    until('the network is there', async () => (await subnetOf(dockerd)) === (await hosts.subnet(index)));
  const problems = async () => (await hosts.lab.status(h1)).problems.join('\n');
  const isWell = () => until('all is well', async () => (await problems()) === '');

  it('is made on both, whichever started first, and says nothing of a dockerd that is not there', async () => {
    await isThere(d1, 0);
    await isThere(d2, 1);
    for (const host of hosts.hosts) expect(hosts.lab.log(host)).not.toMatch(/docker.*(answer|refuse)/i);
  });

  it('lets their containers reach each other at full MTU by their own addresses', async () => {
    c[0] = await d1.container('c1', '--network', 'corduroy');
    c[1] = await d2.container('c2', '--network', 'corduroy');
    const [c1, c2] = c as [TestContainer, TestContainer];
    const { mtu = 0 } = await hosts.lab.status(h1);
    await until('they ping each other', async () => (await c1.pings(c2, mtu)) && (await c2.pings(c1, mtu)));
    expect(await c1.pings(c2, mtu + 1)).toBe(false);
    expect(await c1.addressSeenBy(c2)).toBe(c1.address);
    expect(await c2.addressSeenBy(c1)).toBe(c2.address);
  });

  it('goes on when dockerd is restarted', async () => {
    await d2.stop();
    expect((await hosts.lab.status(hosts.hosts[1] as LabHost)).problems).toEqual([]);
    await d2.start();
    await d2.docker('start', 'c2');
    const [c1, c2] = [c[0] as TestContainer, await d2.running('c2')];
    await until('they ping each other', () => c1.pings(c2, 1472));
    await d1.docker('rm', '-f', 'c1');
  });

  it('comes back within seconds when somebody removes it', async () => {
    await d1.docker('network', 'rm', 'corduroy');
    await isThere(d1, 0);
    await isWell();
  });

  it("leaves somebody else's network of that name, and takes its place when it is gone", async () => {
    await hosts.lab.endDaemon(h1, 'SIGTERM');
    await d1.docker('network', 'rm', 'corduroy');
    await d1.docker('network', 'create', '--subnet', ELSEWHERE, 'corduroy');
    await hosts.startDaemon(h1);
    await until('it says so', async () => /not made, and it is left as it is/.test(await problems()));
    expect(await subnetOf(d1)).toBe(ELSEWHERE);
    expect((await hosts.lab.status(h1)).ready).toBe(true);
    expect((await hosts.corduroy(h1, 'docker', 'status')).code).toBe(1);
    await d1.docker('network', 'rm', 'corduroy');
    await isThere(d1, 0);
    await isWell();
    expect(await hosts.corduroy(h1, 'docker', 'status')).toMatchObject({ code: 0 });
  });

  it('with an earlier subnet is left while containers are attached, running or not, and then made anew', async () => {
    await hosts.lab.endDaemon(h1, 'SIGTERM');
    await d1.docker('network', 'rm', 'corduroy');
    const label = ['--label', 'corduroy.instance=corduroy'];
    await d1.docker('network', 'create', '--subnet', ELSEWHERE, ...label, 'corduroy');
    await d1.container('c1', '--network', 'corduroy');
    await d1.container('c3', '--network', 'corduroy');
    await d1.docker('kill', 'c3');
    await hosts.startDaemon(h1);
    await until('it says so', async () =>
      (await problems()).includes('docker network disconnect --force corduroy c'),
    );
    expect(await problems()).toMatch(/subnet 10\.244\.255\.0\/24 in place of 10\.244\..*\((c1, c3|c3, c1)\)/);
    await d1.docker('rm', '-f', 'c1');
    expect(await subnetOf(d1)).toBe(ELSEWHERE);
    await d1.docker('rm', '-f', 'c3');
    await isThere(d1, 0);
    await isWell();
  });

  it('is removed by corduroy down, unless containers are attached', async () => {
    const down = (host: LabHost) => hosts.corduroy(host, 'down');
    expect((await down(h1)).stdout).toContain('removed: Docker network corduroy\n');
    expect(await subnetOf(d1)).toBe('none');
    expect((await down(hosts.hosts[1] as LabHost)).stdout).not.toContain('Docker');
    expect(await subnetOf(d2)).not.toBe('none');
  });
});
