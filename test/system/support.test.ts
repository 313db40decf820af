import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Container, loadBusybox } from '../support/nspawn-docker.ts';
import { healingOf } from '../support/nspawn-healing.ts';
import { Lan, WORLD } from '../support/nspawn-lan.ts';

/** What the tests in this folder stand on. */
describe.skipIf(hostObstacle())(`a host with systemd and Docker ${hostObstacle() ?? ''}`, () => {
  let lan: Lan;
  let host: NspawnHost;

  beforeAll(async () => {
    lan = await Lan.create();
    host = await NspawnHost.start('a', lan, '192.0.2.11');
  });
  afterAll(async () => {
    await host?.remove();
    await lan?.remove();
  });

  it('runs all its services, reaches the world, and has a disk and an identity that outlive its power', async () => {
    expect(await host.settled()).toBe('running');
    expect(await host.run('hostname')).toBe('a');
    await host.run('ping', '-c', '1', '-W', '1', WORLD);
    const id = host.read('/etc/machine-id');
    await host.write('/root/kept', 'as it was');
    await host.powerOff();
    await host.boot();
    expect(await host.settled()).toBe('running');
    expect(host.read('/root/kept')).toBe('as it was');
    expect(host.read('/etc/machine-id')).toBe(id);
  });

  it('runs containers, also again after its plug was pulled', async () => {
    await host.run('systemctl', 'enable', '--now', 'docker');
    await loadBusybox(host);
    const web = await Container.start(host, 'web');
    expect(await web.run('hostname')).not.toBe('a');
    expect(await web.reaches(WORLD)).toBe(true);
    await host.cutPower();
    await host.boot();
    expect(await host.settled()).toBe('running');
    expect(await web.reaches(WORLD)).toBe(true);
  });
});

describe('what pings say of a disturbance', () => {
  const answers = (...sequences: number[]) =>
    sequences.map((sequence) => ({ sequence, at: 1_000_000 + sequence * 50 }));

  it('says nothing was lost when all were answered', () => {
    expect(healingOf('x', answers(1, 2, 3, 4), 1_000_000)).toEqual({
      what: 'x',
      lost: 0,
      outage: 0,
      healedAfter: 0,
    });
  });

  it('counts those without an answer, and measures to the first answer after the last of them', () => {
    const { lost, outage, healedAfter } = healingOf('x', answers(1, 2, 6, 7, 9, 10), 1_000_100);
    expect({ lost, outage, healedAfter }).toEqual({ lost: 4, outage: 150, healedAfter: 350 });
  });

  it('calls it an outage when all are answered, but late', () => {
    const late = [...answers(1, 2), { sequence: 3, at: 1_002_000 }, { sequence: 4, at: 1_002_000 }];
    expect(healingOf('x', late, 1_000_100)).toMatchObject({ lost: 0, outage: 1850, healedAfter: 1900 });
  });
});
