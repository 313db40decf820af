import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { BUILT, programsUnderTest } from '../../support/programs.ts';

/** The programs themselves, with a password: nothing that others can read may hold it. */
describe('the password of etcd stays out of sight', () => {
  const missing =
    etcdMissing() ??
    (process.getuid?.() === 0 ? undefined : 'needs root, as corduroyd does') ??
    (existsSync(BUILT) ? undefined : `needs ${BUILT}: make build`);
  const PASSWORD = 'hunter2-correct-horse';
  let etcd: TestEtcd;
  let folder: string;
  const running = new Set<ChildProcess>();

  beforeEach(async (context) => {
    if (missing !== undefined) return context.skip(missing);
    folder = mkdtempSync(join(tmpdir(), 'corduroy-secrets-'));
    writeFileSync(join(folder, 'machine-id'), 'b0e1'.repeat(8));
    writeFileSync(join(folder, 'config.json'), '{}');
    etcd = await startEtcd({ auth: { username: 'root', password: PASSWORD } });
  });
  afterEach(async () => {
    const ended = [...running].map((child) => once(child, 'close'));
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(ended);
    await etcd?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  /** Nothing of the environment or the configuration file of this host. */
  const start = (program: string, ...args: string[]) => {
    const child = spawn(process.execPath, [join(programsUnderTest(), program), ...args], {
      env: { PATH: process.env.PATH },
    });
    running.add(child);
    const run = { pid: child.pid ?? 0, output: '', ended: false };
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        run.output += chunk.toString();
      });
    child.on('close', () => {
      run.ended = true;
      running.delete(child);
    });
    return run;
  };
  const daemon = (password: string, ...more: string[]) =>
    start(
      'corduroyd.js',
      // Without a network config the daemon waits, and touches nothing of this host.
      ...['--instance=secrets', `--config-file=${join(folder, 'config.json')}`, `--run-dir=${folder}`],
      ...[`--state-dir=${folder}`, `--machine-id-file=${join(folder, 'machine-id')}`, '--log-level=debug'],
      ...[`--etcd-endpoints=${etcd.endpoint}`, '--etcd-prefix=/secrets', '--etcd-username=root', ...more],
      ...(password === '' ? [] : [`--etcd-password=${password}`]),
    );
  const commandLine = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8');

  test('corduroyd: neither its arguments, its log, nor its status; a warning says what to use', async () => {
    const run = daemon(PASSWORD);
    await expect.poll(() => run.output, { timeout: 15_000 }).toContain('there is no network config');
    expect(commandLine(run.pid)).toContain('--etcd-username=root');
    expect(commandLine(run.pid)).not.toContain(PASSWORD);
    expect(run.output).toMatch(/--etcd-password on the command line .*--etcd-password-file/);

    const status = start('corduroy.js', 'status', '--json', `--run-dir=${folder}`);
    await expect.poll(() => status.ended, { timeout: 15_000 }).toBe(true);
    expect(status.output).toContain(etcd.endpoint);
    expect(status.output + run.output).not.toContain(PASSWORD);
  });

  test('corduroyd that is refused: nor the error', async () => {
    const run = daemon('wrong-battery-staple');
    await expect.poll(() => run.output, { timeout: 15_000 }).toContain('etcdctl user passwd root');
    const status = start('corduroy.js', 'status', '--json', `--run-dir=${folder}`);
    await expect.poll(() => status.ended, { timeout: 15_000 }).toBe(true);
    expect(status.output).toContain('etcdctl user passwd root');
    expect(commandLine(run.pid) + status.output + run.output).not.toContain('wrong-battery-staple');
  });

  test('corduroyd with the file: no warning, and another password is taken up while it runs', async () => {
    const file = join(folder, 'password');
    writeFileSync(file, 'not yet\n', { mode: 0o600 });
    const run = daemon('', `--etcd-password-file=${file}`);
    await expect.poll(() => run.output, { timeout: 15_000 }).toContain('etcdctl user passwd root');
    writeFileSync(file, `${PASSWORD}\n`);
    await expect.poll(() => run.output, { timeout: 15_000 }).toContain('there is no network config');
    expect(run.output).toMatch(/changed, .*--etcd-password-file/);
    expect(run.output).not.toMatch(/on the command line|not yet/);
    expect(run.output).not.toContain(PASSWORD);
  });

  test('corduroy: as corduroyd, with the password as a word of its own', async () => {
    // A hung etcd holds the command for as long as it takes to look.
    await etcd.pause();
    const run = start(
      'corduroy.js',
      ...['config', 'get', '--etcd-endpoints', etcd.endpoint, `--config-file=${join(folder, 'config.json')}`],
      ...['--etcd-username', 'root', '--etcd-password', PASSWORD],
    );
    await expect.poll(() => run.output, { timeout: 15_000 }).toMatch(/on the command line .*-password-file/);
    expect(commandLine(run.pid)).toContain('--etcd-password ***');
    expect(commandLine(run.pid)).not.toContain(PASSWORD);
    etcd.resume();
    await expect.poll(() => run.ended, { timeout: 15_000 }).toBe(true);
    expect(run.output).not.toContain(PASSWORD);
  });
});
