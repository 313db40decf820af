import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { DockerSetup, type Finding } from '../../../../src/bridge/docker/docker-setup.ts';
import { CorduroyError } from '../../../../src/errors.ts';
import { subnetEnv } from './fixtures.ts';

const SUBNET = subnetEnv('10.5.3.0/24');

/** Docker as the looks find it, one after the other; the last stays. */
function setup(...findings: (Finding | Error)[]) {
  const state = { looks: [] as string[], now: 0 };
  const look = async ({ families }: typeof SUBNET): Promise<Finding> => {
    const finding = findings[Math.min(state.looks.length, findings.length - 1)] ?? {};
    state.looks.push(String(families[0]?.subnet));
    if (finding instanceof Error) throw finding;
    return finding;
  };
  return Object.assign(state, { docker: new DockerSetup(look, () => state.now) });
}

test('what only somebody else can mend is a problem until it is mended', async () => {
  const host = setup({ problem: 'docker0 differs: systemctl restart docker' }, {});
  await expect(host.docker.ensure(SUBNET)).rejects.toMatchObject({
    code: 'docker',
    message: 'docker0 differs: systemctl restart docker',
  });
  host.now = 1000;
  await host.docker.ensure(SUBNET);
});

test('rounds that follow each other closely do not ask again, and say the same', async () => {
  const host = setup({ problem: 'it differs' });
  for (host.now = 0; host.now < 400; host.now += 100)
    await expect(host.docker.ensure(SUBNET)).rejects.toThrow('it differs');
  expect(host.looks).toHaveLength(1);
  // What one of them was called for is seen all the same.
  expect(host.docker.dueIn).toBe(500);
});

test('another subnet is looked at at once', async () => {
  const host = setup({});
  await host.docker.ensure(SUBNET);
  await host.docker.ensure(subnetEnv('10.5.4.0/24'));
  expect(host.looks).toEqual(['10.5.3.0/24', '10.5.4.0/24']);
});

test('a dockerd that hangs does not keep the round', async () => {
  let found: (finding: Finding) => void = () => undefined;
  let looks = 0;
  const docker = new DockerSetup(() => {
    looks++;
    return new Promise((resolve) => {
      found = resolve;
    });
  });
  const start = performance.now();
  await docker.ensure(SUBNET);
  await docker.ensure(SUBNET);
  expect(performance.now() - start).toBeLessThan(3000);
  expect([looks, docker.dueIn]).toEqual([1, 500]);
  found({ problem: 'late' });
  await sleep(0);
  await expect(docker.ensure(SUBNET)).rejects.toThrow('late');
});

test('what is on its way is looked at again soon, what is wrong a little later, what is right with the next round', async () => {
  const host = setup({ pending: true }, new CorduroyError('docker', 'Docker refuses'), {});
  await host.docker.ensure(SUBNET);
  expect(host.docker.dueIn).toBe(1000);
  host.now = 1000;
  await expect(host.docker.ensure(SUBNET)).rejects.toThrow('Docker refuses');
  expect(host.docker.dueIn).toBe(5000);
  host.now = 2000;
  await host.docker.ensure(SUBNET);
  expect(host.docker.dueIn).toBe(Number.POSITIVE_INFINITY);
});
