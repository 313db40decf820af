import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/lab.ts';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Lan } from '../support/nspawn-lan.ts';
import { debObstacle, installDeb, laterDeb } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();
const UNITS = ['corduroyd.service', 'corduroyd@lab.service'] as const;

/** The daemons wait for an etcd that nobody has started: the package must not wait along with them. */
describe.skipIf(obstacle)(`the package on a host whose etcd is away ${obstacle ?? ''}`, () => {
  let lan: Lan;
  let host: NspawnHost;

  beforeAll(async () => {
    lan = await Lan.create();
    host = await NspawnHost.start('a', lan, '192.0.2.11');
    await host.settled();
    expect(await installDeb(host)).toContain('corduroy init');
    const settings = JSON.stringify({ 'etcd-endpoints': 'http://192.0.2.254:2379' });
    await host.write('/etc/corduroy/corduroyd.json', settings);
    await host.write('/etc/corduroy/corduroyd-lab.json', settings);
    await host.run('systemctl', 'enable', '--now', '--no-block', ...UNITS);
    await untilWaiting(...UNITS);
  });
  afterAll(async () => {
    await host?.remove();
    await lan?.remove();
  });

  const show = async (unit: string, property: string) =>
    await host.run('systemctl', 'show', '--value', `--property=${property}`, unit);
  const pids = async () => await Promise.all(UNITS.map(async (unit) => await show(unit, 'MainPID')));
  const upgrade = async (version: string) =>
    await host.sh(`dpkg --install ${await laterDeb(host, version)} 2>&1`);
  const untilWaiting = async (...units: readonly string[]) => {
    for (const unit of units) {
      await until(
        `${unit} waits for etcd`,
        async () => (await show(unit, 'StatusText')).includes('etcd'),
        20_000,
      );
    }
  };

  test('an upgrade restarts every daemon, says so, and says what became of the data plane', async () => {
    const before = await pids();
    const said = await upgrade('9.0');
    for (const unit of UNITS) expect(said).toContain(`${unit} restarts`);
    expect(said).toContain('corduroy datapath restart');
    await untilWaiting(...UNITS);
    const after = await pids();
    for (const [index, pid] of after.entries()) expect(pid).not.toBe(before[index]);
  });

  test('an upgrade leaves a daemon that was stopped alone', async () => {
    await host.run('systemctl', 'stop', UNITS[1]);
    await upgrade('9.1');
    await untilWaiting(UNITS[0]);
    expect(await show(UNITS[1], 'ActiveState')).toBe('inactive');
    await host.run('systemctl', 'disable', UNITS[1]);
  });

  test('removed, nothing runs; installed again, what was enabled runs', async () => {
    await host.run('dpkg', '--remove', 'corduroy');
    expect((await host.attempt('pgrep', '-f', 'corduroyd')).stdout).toBe('');
    expect(await host.sh('find /run -path "/run/corduroy*"')).toBe('');
    await installDeb(host);
    await until('it runs', async () => (await show(UNITS[0], 'ActiveState')) === 'activating', 10_000);
    expect(await show(UNITS[1], 'ActiveState')).toBe('inactive');
  });
});
