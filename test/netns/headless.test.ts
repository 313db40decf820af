import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STATE_FILES } from '../../src/config/names.ts';
import { containerAddress } from '../../src/lab/network.ts';
import { endAllIn, startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, underlay } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`a start without etcd ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let etcdCommand: string[];
  let subnet: string;
  let target: string;

  const net = () => underlay(lab.lab.spec.name).namespace;
  const stopEtcd = () => endAllIn(net());
  const startEtcd = () => startInNamespace(net(), etcdCommand, '/dev/null', lab.lab.environment());
  const problems = async (host: LabHost) =>
    (await lab.status(host).catch(() => undefined))?.problems.join('; ') ?? '';
  const memory = () => join(h1.stateDir, STATE_FILES.network);

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    const [pid] = (await lab.on(h1, 'ip', 'netns', 'pids', net())).split('\n');
    etcdCommand = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    await lab.putLease('10.244.250.0-24', '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
    await until('all is known', async () => (await lab.status(h1)).engine?.routes === 2);
    subnet = await lab.subnet(h1);
    target = containerAddress([await lab.subnet(h2)]);
    await until('it is on disk', () => readFileSync(memory(), 'utf8').includes('192.0.2.77'));
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('restores the network from disk after a restart, and not one ping is lost', async () => {
    await stopEtcd();
    const engine = (await lab.status(h1)).engine?.pid;
    const pinging = lab.on(h1.container.namespace, 'ping', '-n', '-i', '0.02', '-c', '200', '-q', target);
    await lab.restartDaemon(h1);
    const status = await lab.status(h1);
    expect(status.engine).toMatchObject({ pid: engine, routes: 2 });
    expect(status.lease).toMatchObject({ subnets: [subnet], state: 'at-risk' });
    expect(status.remembered?.age).toBeLessThan(120);
    expect(status.problems.join()).toMatch(
      /running on the network as it was at \d{4}-.*etcd has not answered/,
    );
    expect((await lab.attempt(h1, 'corduroy', 'status')).code).toBe(1);
    expect(await pinging).toMatch(/200 packets transmitted, 200 received/);
  });

  it('restores it on a host that was rebooted: no device, no data plane, no run-dir', async () => {
    await lab.endDaemon(h1, 'SIGKILL');
    await endAllIn(h1.namespace);
    for (const device of ['corduroy0', 'cbr0']) await lab.on(h1, 'ip', 'link', 'del', device);
    lab.lab.startDaemon(h1);
    const status = await lab.lab.untilReady(h1);
    expect(status.lease?.subnets).toEqual([subnet]);
    await lab.on(h1, 'ip', 'link', 'set', h1.container.name, 'master', 'cbr0');
    await until('its container reaches the other', () => lab.pings(h1.container.namespace, target));
  });

  it('removes what is gone when etcd has said so in full, and holds its lease again', async () => {
    startEtcd();
    await until('etcd answers', async () => (await lab.attempt(h2, 'corduroy', 'leases', 'list')).code === 0);
    await lab.etcdctl('del', `${NETWORK_PREFIX}/subnets/10.244.250.0-24`);
    await until('the route is gone', async () => (await lab.status(h1)).engine?.routes === 1);
    await until('it is well', async () => (await problems(h1)) === '');
    const status = await lab.status(h1);
    expect(status.lease).toMatchObject({ subnets: [subnet], state: 'held' });
    expect(status.remembered).toBeUndefined();
    expect(status.peers).toHaveLength(1);
  });

  it("does not go by another machine's memory, nor by a file that is damaged", async () => {
    await stopEtcd();
    await lab.endDaemon(h1, 'SIGTERM');
    const good = readFileSync(memory(), 'utf8');
    for (const [text, complaint] of [
      [good.replace(/"hardware":"[^"]*"/, '"hardware":"0123456789abcdef"'), /was saved by another machine/],
      [good.slice(0, good.length / 2), /network\.json cannot be understood and is not used/],
      [good.replace('"version":1', '"version":2'), /network\.json cannot be understood and is not used/],
    ] as const) {
      writeFileSync(memory(), text);
      lab.lab.startDaemon(h1);
      await until('it says why', async () => complaint.test(lab.log(h1)));
      await until('it waits for etcd', async () => /etcd at/.test(await problems(h1)));
      expect((await lab.status(h1)).lease).toBeUndefined();
      await lab.endDaemon(h1, 'SIGTERM');
      writeFileSync(h1.logFile, '');
    }
    writeFileSync(memory(), good);
    startEtcd();
    lab.lab.startDaemon(h1);
    expect((await lab.lab.untilReady(h1)).lease?.subnets).toEqual([subnet]);
  });
});
