import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endAllIn, startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, underlay } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

const CONFIG = '{"Network":"10.244.0.0/16"}';

describe.skipIf(labObstacle())(`a daemon that has to wait ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;

  const problems = async () => (await lab.status(h1).catch(() => undefined))?.problems.join('; ') ?? '';

  /** The command line of the lab's etcd, so that the very same can be started again. */
  let etcdCommand: string[];
  const startEtcd = () =>
    startInNamespace(underlay(lab.lab.spec.name).namespace, etcdCommand, '/dev/null', lab.lab.environment());

  beforeAll(async () => {
    lab = await TestLab.start();
    h1 = await lab.lab.prepareHost(1);
    const { namespace } = underlay(lab.lab.spec.name);
    const [pid] = (await lab.on(h1, 'ip', 'netns', 'pids', namespace)).split('\n');
    etcdCommand = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    await lab.etcdctl('del', `${NETWORK_PREFIX}/config`);
    await endAllIn(namespace);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('waits for etcd, saying so once', async () => {
    lab.lab.startDaemon(h1);
    await until('it says so', async () => /192\.0\.2\.254:2379/.test(await problems()));
    await sleep(3000);
    const warnings = lab
      .log(h1)
      .split('\n')
      .filter((line) => line.includes('WARN'));
    expect(warnings).toHaveLength(1);
    expect((await lab.attempt(h1, 'corduroy', 'status')).code).toBe(1);
    const wait = await lab.attempt(h1, 'corduroy', 'wait', '--timeout', '1');
    expect(wait.code).toBe(4);
    expect(wait.stderr).toContain('not ready after 1 s');
  });

  it('then waits for the network config, saying which command writes one', async () => {
    startEtcd();
    await until('it says so', async () =>
      /there is no network config .*corduroy config set/.test(await problems()),
    );
  });

  it('names key, value and rule of a config that is wrong, and waits for a better one', async () => {
    await lab.etcdctl(
      'put',
      `${NETWORK_PREFIX}/config`,
      '{"Network":"10.244.0.0/16","SubnetLen":15,"Backend":{"Port":0}}',
    );
    await until('it says so', async () => /SubnetLen is 15: .*at least 18/.test(await problems()));
    await lab.etcdctl(
      'put',
      `${NETWORK_PREFIX}/config`,
      '{"Network":"10.244.0.0/16","Backend":{"Type":"udp","Port":0}}',
    );
    await until('it says the other thing', async () =>
      /Backend\.Port is 0: has to be a whole number from 1 to 65535/.test(await problems()),
    );
    expect((await lab.status(h1)).ready).toBe(false);
  });

  it('starts at once when a good one appears', async () => {
    await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, CONFIG);
    expect(await until('it is ready', async () => (await lab.status(h1)).ready)).toBeLessThan(2000);
    expect(await problems()).toBe('');
  });

  it('goes on with the config before when a broken one is written over it', async () => {
    await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, '{"Network":');
    await until('it says so', async () =>
      /not valid: the document .*Going on with the one before/.test(await problems()),
    );
    expect((await lab.status(h1)).ready).toBe(true);
    const subnet = await lab.subnet(h1);
    await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, '{"Network":"10.99.0.0/16"}');
    await until('it says so', async () => /does not fit it/.test(await problems()));
    expect(await lab.subnet(h1)).toBe(subnet);
    await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, CONFIG);
    await until('all is well', async () => (await problems()) === '');
  });

  it('keeps its lease and its routes while etcd is away, and says so', async () => {
    const subnet = await lab.subnet(h1);
    await endAllIn(underlay(lab.lab.spec.name).namespace);
    await until('it says so', async () => (await problems()) !== '');
    const status = await lab.status(h1);
    expect(status).toMatchObject({ ready: true, etcd: { connected: false }, lease: { subnets: [subnet] } });
    expect(await lab.on(h1, 'ip', 'route', 'show', '10.244.0.0/16')).toContain('dev corduroy0');
    startEtcd();
    await until('all is well', async () => (await problems()) === '', 15_000);
    expect(await lab.subnet(h1)).toBe(subnet);
  });
});
