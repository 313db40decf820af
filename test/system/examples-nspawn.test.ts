import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostImageFolder, hostObstacle } from '../support/nspawn.ts';
import { builtDeb, debObstacle } from '../support/nspawn-package.ts';

const execute = promisify(execFile);
const obstacle = hostObstacle() ?? debObstacle();

describe.skipIf(obstacle)(`examples/systemd-nspawn ${obstacle ?? ''}`, () => {
  const LAB = `cdyx${process.pid}`;
  const FOLDER = `/dev/shm/${LAB}`;
  const script = resolve('examples/systemd-nspawn/lab.sh');
  const environment = () => ({
    ...process.env,
    ...{ LAB, FOLDER, HOSTS: '2', ROOT: hostImageFolder(), DEB: builtDeb() },
  });
  const lab = async (...words: string[]) => {
    const { stdout } = await execute(script, words, { env: environment() });
    return stdout.trim();
  };
  const endNow = () => spawnSync(script, ['down'], { env: environment() });
  let saidByUp: string;

  beforeAll(async () => {
    process.on('exit', endNow);
    saidByUp = await lab('up');
  });
  afterAll(async () => {
    await lab('down');
    process.off('exit', endNow);
  });

  const bridgeOf = async (host: string) =>
    /(10\.244\.\d+\.1)\//.exec(await lab('exec', host, 'ip', '-4', '-brief', 'address', 'show', 'cbr0'))?.[1];

  it('makes hosts that reach each other through the tunnel', async () => {
    const address = await bridgeOf('h2');
    expect(address).toBeDefined();
    expect(await lab('exec', 'h1', 'ping', '-n', '-c', '1', '-W', '2', address ?? '')).toContain(
      '1 received',
    );
    expect(await lab('exec', 'h1', 'systemctl', 'is-active', 'corduroyd', 'corduroy-etcd')).toBe(
      'active\nactive',
    );
  });

  it('shows no token', () => {
    expect(saidByUp).toMatch(/^ready: 10\.244\.\d+\.0\/24, peers: 1$/m);
    expect(saidByUp).not.toMatch(/cdy1\./);
  });

  it('brings back a host that was off, with its subnet and its peers', async () => {
    const before = await bridgeOf('h2');
    await lab('poweroff', 'h2');
    await expect(lab('exec', 'h2', 'true')).rejects.toThrow(/does not run/);
    await lab('boot', 'h2');
    await lab('exec', 'h2', 'corduroy', 'wait', '--peers', '1');
    expect(await bridgeOf('h2')).toBe(before);
  });

  it('leaves nothing behind', async () => {
    await lab('down');
    const traces = [
      (await execute('ip', ['netns', 'list'])).stdout,
      readFileSync('/proc/self/mounts', 'utf8'),
      ...['/sys/fs/cgroup', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified']
        .filter((folder) => existsSync(folder))
        .map((folder) => readdirSync(folder).join('\n')),
      (await execute('ps', ['-eo', 'args'])).stdout,
    ];
    expect(traces.join('\n').match(new RegExp(`.*${LAB}.*`, 'g'))).toBeNull();
    expect(existsSync(FOLDER)).toBe(false);
  });
});
