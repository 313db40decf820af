import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDatapath } from '../../../src/datapath/client.ts';
import { canUseNamespaces, NetNamespace } from '../../support/netns.ts';
import { findingsIn, SANITIZED } from '../../support/programs.ts';
import { CONFIG } from './engine-lab.ts';
import { DATAPATH_PROGRAM, firstObstacle, isBuilt } from './harness.ts';

describe('corduroy-datapath run', () => {
  const probe = firstObstacle(canUseNamespaces(), isBuilt(DATAPATH_PROGRAM));
  let namespace: NetNamespace;
  let folder: string;
  let socket: string;
  let log: string;

  beforeEach(async (context) => {
    if (!probe.ok) return context.skip(probe.reason);
    namespace = await NetNamespace.create();
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    socket = join(folder, 's');
    log = '';
    await namespace.script(`
      ip link set lo up
      ip tuntap add dev one0 mode tun
      ip tuntap add dev many0 mode tun multi_queue
    `);
  });
  afterEach(async () => {
    await namespace?.remove();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    const finding = findingsIn(log ?? '');
    if (finding !== undefined) throw new Error(finding);
  });

  function run(...args: string[]) {
    const [program, all] = namespace.command(DATAPATH_PROGRAM, args);
    const { status, stderr } = spawnSync(program, all, { encoding: 'utf8', timeout: 5000 });
    return { status, stderr };
  }

  /** Started, and idle. */
  async function start(...args: string[]): Promise<ChildProcess & { readonly pid: number }> {
    const engine = namespace.spawn(DATAPATH_PROGRAM, ['run', ...args, '--listen', socket]);
    if (engine.stderr === null || engine.pid === undefined) throw new Error('the engine did not start');
    engine.stderr.on('data', (chunk) => {
      log += chunk;
    });
    const [line] = await once(engine.stderr, 'data', { signal: AbortSignal.timeout(5000) });
    expect(String(line)).toMatch(/idle: version .*, device/);
    return Object.assign(engine, { pid: engine.pid });
  }

  function openFiles(pid: number): string[] {
    const descriptors = `/proc/${pid}/fd`;
    return readdirSync(descriptors).map((fd) => readlinkSync(join(descriptors, fd)));
  }

  test.each([
    { args: [], says: 'needs a device and a socket' },
    { args: ['one0'], says: 'needs a device and a socket' },
    { args: ['one0', '--listen'], says: '--listen needs the path' },
    { args: ['one0', 'two0'], says: 'one argument too many' },
    { args: ['one0', '--frob'], says: 'no option --frob' },
    { args: ['one0', '--queues'], says: '--queues needs a number' },
    { args: ['one0', '--queues', '0'], says: 'from 1 to 16, not "0"' },
    { args: ['one0', '--queues', '17'], says: 'from 1 to 16, not "17"' },
    { args: ['one0', '--queues', '2x'], says: 'from 1 to 16, not "2x"' },
  ])('wrong usage, exit code 2: $args', ({ args, says }) => {
    expect(run('run', ...args)).toMatchObject({ status: 2, stderr: expect.stringContaining(says) });
  });

  test('several queues of a device that has one: the remedy, and no socket is left', () => {
    expect(run('run', 'one0', '--listen', socket, '--queues', '2')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/one0 .*have one queue.*ip tuntap add dev one0 mode tun multi_queue/),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('holds one descriptor a queue, and has few rights before it is configured', async () => {
    const { pid } = await start('many0', '--queues', '3');
    const files = openFiles(pid);
    expect(files.filter((file) => file === '/dev/net/tun')).toHaveLength(3);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    // CAP_SETGID 6, CAP_SETUID 7, CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12.
    for (const set of ['CapPrm', 'CapEff']) expect(status).toContain(`${set}:\t00000000000014c0\n`);
    for (const set of ['CapInh', 'CapBnd', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
    expect(status).toContain('NoNewPrivs:\t1\n');
  });

  test('is configured with the queues that it was started with, and no other number', async () => {
    const { pid } = await start('many0', '--queues', '2');
    const datapath = await connectDatapath(socket);
    const config = { ...CONFIG, tunName: 'many0' };
    await expect(datapath.configure({ ...config, queues: 1 })).rejects.toThrow(/--queues 2, not 1/);
    await datapath.configure({ ...config, queues: 2 });
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
    await datapath.shutdown();
  });

  test('may use few system calls once it is configured', async (context) => {
    if (SANITIZED !== undefined) context.skip(SANITIZED);
    const { pid } = await start('one0');
    const datapath = await connectDatapath(socket);
    await datapath.configure({ ...CONFIG, tunName: 'one0' });
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Seccomp:\t2$/m);
    await datapath.shutdown();
  });

  test('takes a multi-queue device with one queue', async () => {
    await start('many0');
    const datapath = await connectDatapath(socket);
    await datapath.configure({ ...CONFIG, tunName: 'many0' });
    await datapath.shutdown();
  });

  test('tun-exec --vnet-hdr: the command is told of the header, and otherwise never', () => {
    const say = ['--', 'sh', '-c', 'echo "header <$CORDUROY_TUN_VNET_HDR>" >&2'];
    expect(run('tun-exec', 'one0', '--vnet-hdr', ...say)).toEqual({ status: 0, stderr: 'header <1>\n' });
    process.env.CORDUROY_TUN_VNET_HDR = '1';
    try {
      expect(run('tun-exec', 'one0', ...say)).toEqual({ status: 0, stderr: 'header <>\n' });
    } finally {
      delete process.env.CORDUROY_TUN_VNET_HDR;
    }
  });
});
