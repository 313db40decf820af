import { lstatSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { isUnitFor, launchUnit, type UnitLaunchOptions } from '../../../src/daemon/datapath-unit.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { temporaryFolder } from './temporary-folder.ts';

const UNIT = 'corduroy-datapath.service';

/** What systemd says of the unit; a system with a real one is in test/system. */
class FakeSystemd {
  readonly calls: string[] = [];
  mainPid = 0;
  job = '';
  restartFails: string | undefined;

  readonly execute: NonNullable<UnitLaunchOptions['execute']> = async (command, args) => {
    const words = args.filter((word) => word !== '--no-ask-password');
    this.calls.push([command, ...words].join(' '));
    if (command === 'journalctl') return answer('cannot attach to the device corduroy0: no\n');
    if (words[0] === 'restart' && this.restartFails !== undefined)
      throw new CorduroyError('host-command', this.restartFails);
    const values: Record<string, string> = {
      MainPID: `${this.mainPid}`,
      Job: this.job,
      Result: 'exit-code',
      ExecMainStatus: '1',
      InvocationID: 'abc',
    };
    const names = /^--property=(.*)$/.exec(words[1] ?? '')?.[1]?.split(',') ?? [];
    return answer(names.map((name) => (values[name] === '' ? '' : `${name}=${values[name]}\n`)).join(''));
  };
}

function answer(stdout: string) {
  return { code: 0, stdout, stderr: '' };
}

describe('a data plane in a unit', () => {
  let systemd: FakeSystemd;
  let runDir: string;
  let ending: AbortController;
  let options: UnitLaunchOptions;

  beforeEach(() => {
    systemd = new FakeSystemd();
    runDir = temporaryFolder();
    ending = new AbortController();
    options = {
      unit: UNIT,
      engine: 'native',
      tunName: 'corduroy0',
      queues: 2,
      offload: true,
      runDir,
      programs: { datapath: '/lib/c/datapath', node: '/usr/bin/node', dgram: '/lib/c/dgram.js' },
      signal: ending.signal,
      timeoutMs: 100,
      execute: systemd.execute,
    };
  });

  const environment = () => readFileSync(join(runDir, 'datapath.env'), 'utf8');
  const failure = async (): Promise<string> =>
    await launchUnit(options).then(
      () => 'none',
      (error: unknown) => {
        expect(error).toMatchObject({ code: 'datapath' });
        return (error as Error).message;
      },
    );

  test('that ends at once: what it logged, and where to look', async () => {
    expect(await failure()).toBe(
      `the data plane's unit ${UNIT}: ended at once (exit-code, status 1): cannot attach to the device corduroy0: no. ` +
        `See: systemctl status ${UNIT}; journalctl -u ${UNIT}`,
    );
    expect(systemd.calls[0]).toBe(`systemctl restart --no-block ${UNIT}`);
    expect(systemd.calls.at(-1)).toMatch(/^journalctl .*_SYSTEMD_INVOCATION_ID=abc$/);
  });

  test('that never answers is stopped', async () => {
    systemd.mainPid = 4711;
    expect(await failure()).toMatch(/did not answer within 100 ms and was stopped: cannot attach/);
    expect(systemd.calls.at(-1)).toBe(`systemctl stop --no-block ${UNIT}`);
  });

  test('that waits for this very daemon to end is not waited for', { timeout: 2000 }, async () => {
    systemd.job = '77';
    options = { ...options, timeoutMs: 60_000 };
    setTimeout(() => ending.abort(), 50);
    expect(await failure()).toMatch(/corduroyd ends before it answers/);
    expect(systemd.calls.some((call) => call.startsWith('systemctl stop'))).toBe(false);
  });

  test('is known as its own, as long as it was started for the same', async () => {
    expect(isUnitFor(options)).toBe(false);
    await failure();
    expect(isUnitFor(options)).toBe(true);
    expect(isUnitFor({ ...options, queues: 1 })).toBe(false);
    rmSync(join(runDir, 'datapath.sock'));
    expect(isUnitFor(options)).toBe(false);
  });

  test('that systemd does not know: systemd says so', async () => {
    systemd.restartFails = `Unit ${UNIT} not found.`;
    expect(await failure()).toMatch(/Unit corduroy-datapath\.service not found\.\. See: systemctl status/);
  });

  test('is told what to do in a file that anybody may read, without a word of secrets', async () => {
    await failure();
    const socket = join(runDir, 'datapath/datapath.sock');
    expect(environment()).toMatch(/\nCORDUROY_DATAPATH_ARGS=run corduroy0 --listen \S+ --queues 2\n$/);
    expect(environment()).toContain(` ${socket} `);
    expect(statSync(join(runDir, 'datapath.env')).mode & 0o777).toBe(0o644);
    options = { ...options, engine: 'dgram' };
    await failure();
    expect(environment()).toContain(
      `ARGS=tun-exec corduroy0 --listen ${socket} --vnet-hdr -- /usr/bin/node /lib/c/dgram.js\n`,
    );
  });

  test.each([
    ['nothing', () => undefined],
    ['a stale socket', (path: string) => writeFileSync(path, '')],
    ['another link', (path: string) => symlinkSync('elsewhere', path)],
    ['the same link', (path: string) => symlinkSync('datapath/datapath.sock', path)],
  ])('is found under the usual path, where there was %s', async (_what, make) => {
    const path = join(runDir, 'datapath.sock');
    make(path);
    await failure();
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readlinkSync(path)).toBe('datapath/datapath.sock');
  });

  test('whose words systemd would take apart is refused, and left alone', async () => {
    options = { ...options, engine: 'dgram', programs: { ...options.programs, dgram: '/home/a b/dgram.js' } };
    expect(await failure()).toMatch(
      /"\/home\/a b\/dgram\.js" cannot be handed to .*leave out --datapath-unit/,
    );
    expect(systemd.calls).toEqual([]);
  });
});
