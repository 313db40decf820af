import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canUseNamespaces, NetNamespace } from '../../support/netns.ts';
import { DATAPATH_PROGRAM, firstObstacle, isBuilt } from './harness.ts';

/** Capabilities that are left: CAP_SETGID 6, CAP_SETUID 7, CAP_NET_BIND_SERVICE 10. */
const KEPT = ((1n << 2n) | (1n << 6n) | (1n << 7n) | (1n << 10n)).toString(16).padStart(16, '0');

describe('corduroy-datapath tun-exec', () => {
  const probe = firstObstacle(canUseNamespaces(), isBuilt(DATAPATH_PROGRAM));
  let namespace: NetNamespace;
  let folder: string;

  beforeEach(async (context) => {
    if (!probe.ok) return context.skip(probe.reason);
    namespace = await NetNamespace.create();
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  });
  afterEach(async () => {
    await namespace?.remove();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  function run(...args: string[]) {
    const [program, all] = namespace.command(DATAPATH_PROGRAM, args);
    const { status, stdout, stderr } = spawnSync(program, all, { encoding: 'utf8' });
    return { status, stdout, stderr };
  }

  test('--help and --version', () => {
    expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('tun-exec NAME') });
    expect(run('--version')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  test.each([
    { args: [], says: 'no command' },
    { args: ['dance'], says: 'no command dance' },
    { args: ['tun-exec'], says: 'needs a device and a command' },
    { args: ['tun-exec', 'a0', '--'], says: 'needs a device and a command' },
    { args: ['tun-exec', 'a0', 'true'], says: 'one argument too many' },
    { args: ['tun-exec', 'a0', '--listen', '--', 'true'], says: '--listen needs the path' },
    { args: ['tun-exec', 'a0', '--frob', '--', 'true'], says: 'no option --frob' },
  ])('wrong usage, exit code 2: $args', ({ args, says }) => {
    expect(run(...args)).toMatchObject({ status: 2, stderr: expect.stringContaining(says) });
  });

  test('a device that is not there is named, with the remedy, and not made', async () => {
    expect(run('tun-exec', 'gone0', '--', 'true')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/no device gone0 .*ip tuntap add dev gone0 mode tun/),
    });
    expect(await namespace.run('ip', '-o', 'link')).not.toContain('gone0');
  });

  test.each([
    ['a name with a pattern', 'tun%d', /not a device name/],
    ['a name that is too long', 'a234567890123456', /not a device name/],
    ['no name', '', /not a device name/],
    ['a device of another kind', 'lo', /lo is not a plain TUN device/],
    ['a TAP device', 'tap0', /tap0 is not a plain TUN device/],
  ])('%s', async (_what, name, says) => {
    await namespace.run('ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap');
    expect(run('tun-exec', name, '--', 'true')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(says),
    });
  });

  describe('with a device', () => {
    beforeEach(async () => {
      await namespace.run('ip', 'tuntap', 'add', 'dev', 'a0', 'mode', 'tun');
    });

    test('the command has the device as descriptor 3, and no other', () => {
      const { stdout, status } = run(
        'tun-exec',
        'a0',
        '--',
        'sh',
        '-c',
        'cat /proc/$$/fdinfo/3; ls /proc/$$/fd',
      );
      expect(status).toBe(0);
      expect(stdout).toMatch(/^iff:\ta0$/m);
      expect(stdout).toMatch(/0\n1\n2\n3\n$/);
    });

    test('the command has three capabilities, and can gain none', () => {
      const { stdout } = run('tun-exec', 'a0', '--', 'cat', '/proc/self/status');
      for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(stdout).toContain(`${set}:\t${KEPT}\n`);
      for (const set of ['CapInh', 'CapAmb']) expect(stdout).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
      expect(stdout).toContain('NoNewPrivs:\t1\n');
    });

    test('a second one is told that the device is in use', async () => {
      const holder = namespace.spawn(DATAPATH_PROGRAM, [
        'tun-exec',
        'a0',
        '--',
        'sh',
        '-c',
        'echo held; exec sleep 60',
      ]);
      if (holder.stdout === null) throw new Error('no standard output');
      await once(holder.stdout, 'data');
      expect(run('tun-exec', 'a0', '--', 'true')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/a0 is in use by another process/),
      });
    });

    test('the exit code is the command’s; 127 when there is no such command, and no socket is left', () => {
      const socket = join(folder, 's');
      expect(run('tun-exec', 'a0', '--', 'sh', '-c', 'exit 42').status).toBe(42);
      expect(run('tun-exec', 'a0', '--listen', socket, '--', '/no/such')).toMatchObject({
        status: 127,
        stderr: expect.stringContaining('cannot execute /no/such'),
      });
      expect(() => statSync(socket)).toThrow(/ENOENT/);
    });

    test('--listen: a listening socket as descriptor 4, its path in the environment, in place of a stale one', () => {
      const socket = join(folder, 's');
      for (let again = 0; again < 2; again++) {
        const { stdout, stderr } = run(
          ...['tun-exec', 'a0', '--listen', socket, '--'],
          ...['sh', '-c', 'readlink /proc/$$/fd/4; echo $CORDUROY_CONTROL_SOCKET'],
        );
        expect(stderr).toBe('');
        expect(stdout).toMatch(/^socket:\[\d+\]\n/);
        expect(stdout).toContain(`${socket}\n`);
        expect(statSync(socket).mode & 0o777).toBe(0o600);
      }
    });

    test('--listen leaves alone a socket that is answered on', async () => {
      const path = join(folder, 's');
      const server = createServer((socket) => socket.destroy()).listen(path);
      try {
        await new Promise((resolve) => server.once('listening', resolve));
        const { ino } = statSync(path);
        expect(run('tun-exec', 'a0', '--listen', path, '--', 'true')).toMatchObject({
          status: 1,
          stderr: expect.stringMatching(/a data plane listens at .* already/),
        });
        expect(statSync(path).ino).toBe(ino);
      } finally {
        server.close();
      }
    });

    test('--listen leaves alone a file that is no socket, and refuses a path that is too long', () => {
      const path = join(folder, 'precious');
      writeFileSync(path, 'data');
      expect(run('tun-exec', 'a0', '--listen', path, '--', 'true')).toMatchObject({
        status: 1,
        stderr: expect.stringContaining(`${path} is not a socket`),
      });
      expect(statSync(path).size).toBe(4);
      const long = join(folder, 'x'.repeat(108));
      expect(run('tun-exec', 'a0', '--listen', long, '--', 'true')).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('not 1 to 107 bytes long'),
      });
    });
  });
});
