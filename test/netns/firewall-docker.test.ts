import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import { LAB_BRIDGE, type LabHost } from '../../src/lab/topology.ts';
import { dockerObstacle, TestDockerd } from '../support/dockerd.ts';
import { TestLab, until } from '../support/lab.ts';

const FLAGS = ['--ip-masq', '--iptables-resync', '3600'];
/** Docker uses the bridge that corduroyd keeps, and sets its rules for it. */
const DOCKER_FLAGS = ['--bridge', LAB_BRIDGE];

describe.skipIf(dockerObstacle())(`the firewall beside a real dockerd ${dockerObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let c1: string;
  let dockerd: TestDockerd;

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    for (const host of [h1, h2]) await lab.restartDaemon(host, ...FLAGS);
    c1 = containerAddress([await lab.subnet(h1)]);
    await until('containers reach each other', reached);
    dockerd = new TestDockerd(h1.namespace);
  });
  afterAll(async () => {
    await dockerd?.remove();
    await lab?.remove();
  });

  const reached = () => lab.pings(h2.container.namespace, c1, 0.2);
  const rules = (chain: string) => lab.on(h1, 'iptables', '-S', chain);

  it('dockerd starts and sets FORWARD to DROP', async () => {
    await dockerd.start(...DOCKER_FLAGS, '--ip-masq=false');
    expect(await rules('FORWARD')).toMatch(/^-P FORWARD DROP/);
    await until('containers reach each other', reached, 3000);
    await until('the rules stand where Docker leaves them alone', async () =>
      (await rules('DOCKER-USER')).startsWith(
        '-N DOCKER-USER\n-A DOCKER-USER -d 10.244.0.0/16 -i corduroy0 -j CORDUROY-FORWARD\n',
      ),
    );
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a network is created', () => dockerd.docker('network', 'create', 'other')],
    [
      'dockerd is restarted',
      async () => {
        await dockerd.stop();
        await dockerd.start(...DOCKER_FLAGS, '--ip-masq=false');
      },
    ],
    ['its rules are flushed', () => lab.on(h1, 'iptables', '-F')],
    [
      'dockerd is restarted after that',
      async () => {
        await dockerd.stop();
        await dockerd.start(...DOCKER_FLAGS, '--ip-masq=false');
      },
    ],
  ])('%s, and containers reach each other', async (_what, change) => {
    await change();
    await until('they do', reached, 3000);
    expect(await rules('FORWARD')).toMatch(/^-P FORWARD DROP/);
    expect((await lab.status(h1)).problems.join()).not.toContain('Docker');
  });

  it('a dockerd that masquerades is told of, and what is said mends it', async () => {
    await dockerd.stop();
    await dockerd.start(...DOCKER_FLAGS);
    await lab.restartDaemon(h1, ...FLAGS);
    const said = async () => (await lab.status(h1)).problems.join();
    await until('it says so', async () => (await said()).includes('Docker masquerades'));
    const [, command = ''] = /: (iptables -t nat -D .*?) removes its rule/.exec(await said()) ?? [];
    await lab.on(h1, 'sh', '-c', command);
    await until('all is well', async () => !(await said()).includes('Docker'), 15_000);
  });
});
