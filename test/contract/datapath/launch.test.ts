import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDatapath } from '../../../src/datapath/client.ts';
import type { LaunchOptions } from '../../../src/datapath/launch.ts';
import { isAlive, NetNamespace } from '../../support/netns.ts';
import { findingsIn } from '../../support/programs.ts';
import { DATAPATH_PROGRAM, DGRAM_PROGRAM, DIST, dgramHarness } from './harness.ts';

const TUN = 'cdyt0';
/** Plays the daemon: it launches an engine from inside the namespace, says what came of it, and ends. */
const DAEMON = `
  const { launchEngine } = await import(process.argv[1]);
  try {
    process.stdout.write(JSON.stringify(await launchEngine(JSON.parse(process.argv[2]))));
  } catch (error) {
    process.stdout.write(JSON.stringify({ code: error.code, message: error.message }));
  }`;

describe('launchEngine', () => {
  const probe = dgramHarness.probe();
  let namespace: NetNamespace;
  let folder: string;

  beforeEach(async (context) => {
    if (!probe.ok) return context.skip(probe.reason);
    namespace = await NetNamespace.create();
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    await namespace.run('ip', 'tuntap', 'add', 'dev', TUN, 'mode', 'tun');
  });
  afterEach(async () => {
    await namespace?.remove();
    if (folder === undefined) return;
    const log = join(folder, 'datapath.log');
    const finding = existsSync(log) ? findingsIn(readFileSync(log, 'utf8')) : undefined;
    rmSync(folder, { recursive: true, force: true });
    if (finding !== undefined) throw new Error(finding);
  });

  async function launch(changes: Partial<LaunchOptions> = {}) {
    const options: LaunchOptions = {
      engine: 'dgram',
      tunName: TUN,
      queues: 1,
      offload: false,
      socketPath: join(folder, 'datapath.sock'),
      logFile: join(folder, 'datapath.log'),
      programs: { datapath: DATAPATH_PROGRAM, node: process.execPath, dgram: DGRAM_PROGRAM },
      ...changes,
    };
    const module = pathToFileURL(join(DIST, 'datapath/launch.js')).href;
    const [program, args] = namespace.command(process.execPath, [
      ...['--input-type=module', '-e', DAEMON],
      ...['--', module, JSON.stringify(options)],
    ]);
    const env = { ...process.env, FLANNELD_ETCD_PASSWORD: 'secret' };
    const { stdout } = await promisify(execFile)(program, args, { env, timeout: 20_000 });
    const result = JSON.parse(stdout) as { pid?: number; code?: string; message?: string };
    if (result.pid !== undefined) namespace.adopt(result.pid);
    return result;
  }

  test('the engine outlives the daemon, in a session of its own, without its environment', async () => {
    const { pid = 0 } = await launch();
    expect(isAlive(pid)).toBe(true);
    const datapath = await connectDatapath(join(folder, 'datapath.sock'));
    expect(datapath.hello).toMatchObject({ engine: 'dgram', pid, config: undefined });
    const [, , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    expect(Number(session)).toBe(pid);
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('secret');
    expect(readFileSync(join(folder, 'datapath.log'), 'utf8')).toMatch(/idle: .*device cdyt0/);
    await datapath.shutdown();
  });

  test.each([1, 2])('the native engine with queues: %i', async (queues) => {
    const tunName = 'multi0';
    const kind = queues > 1 ? ['multi_queue'] : [];
    await namespace.run('ip', 'tuntap', 'add', 'dev', tunName, 'mode', 'tun', ...kind);
    const { pid = 0 } = await launch({ engine: 'native', tunName, queues });
    const datapath = await connectDatapath(join(folder, 'datapath.sock'));
    expect(datapath.hello).toMatchObject({ engine: 'native', pid, config: undefined });
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('secret');
    await datapath.shutdown();
  });

  test('an engine that cannot start: the error quotes what it logged this time', async () => {
    writeFileSync(join(folder, 'datapath.log'), 'an old line\n');
    const { code, message } = await launch({ tunName: 'gone0' });
    expect(code).toBe('datapath');
    expect(message).toMatch(/ended at once \(exit code 1\).*no device gone0 .*ip tuntap add dev gone0/);
    expect(message).not.toContain('an old line');
  });

  test('an engine that answers on the socket already is not taken for the new one', async () => {
    const { pid = 0 } = await launch();
    await namespace.run('ip', 'tuntap', 'add', 'dev', 'second0', 'mode', 'tun');
    const { code, message } = await launch({ tunName: 'second0' });
    expect(code).toBe('datapath');
    expect(message).toMatch(/a data plane listens at .* already/);
    expect(isAlive(pid)).toBe(true);
  });

  test('an engine that never answers is ended, within the time', async () => {
    const silent = join(folder, 'silent.mjs');
    writeFileSync(silent, "process.stderr.write('pid ' + process.pid); setInterval(() => {}, 1000);");
    const programs = { datapath: DATAPATH_PROGRAM, node: process.execPath, dgram: silent };
    const { message } = await launch({ programs, timeoutMs: 1000 });
    expect(message).toMatch(/did not answer within 1000 ms and was ended/);
    const pid = Number(/pid (\d+)/.exec(message ?? '')?.[1]);
    expect(isAlive(pid)).toBe(false);
  });

  test('programs and log files that are not there are named', async () => {
    const programs = { datapath: join(folder, 'nothing'), node: process.execPath, dgram: DGRAM_PROGRAM };
    expect(await launch({ programs })).toMatchObject({
      code: 'datapath',
      message: expect.stringMatching(/nothing.*ENOENT/),
    });
    expect(await launch({ logFile: join(folder, 'no/log') })).toMatchObject({
      code: 'datapath',
      message: expect.stringMatching(/log file .*no\/log cannot be opened/),
    });
  });
});
