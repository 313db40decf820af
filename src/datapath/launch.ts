import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorduroyError, messageOf } from '../errors.ts';
import { connectDatapath } from './client.ts';
import type { EngineKind } from './datapath.ts';

/** Where the programs are. Relative paths are from the current folder. */
export interface EnginePrograms {
  /** `dist/corduroy-datapath`, the native program: an engine itself, and what opens the TUN device for another. */
  readonly datapath: string;
  /** The Node binary: `process.execPath`. */
  readonly node: string;
  /** `dist/corduroy-datapath-dgram.js` */
  readonly dgram: string;
}

export interface LaunchOptions {
  readonly engine: EngineKind;
  /** A persistent TUN device that exists; a multi-queue one when `queues` is above 1. */
  readonly tunName: string;
  /** Of the device. 1 … 16; `dgram` has one. */
  readonly queues: number;
  /** Have packets of up to 64 KiB come through the TUN. `native` is told by its configuration instead. */
  readonly offload: boolean;
  readonly socketPath: string;
  /** Appended to. */
  readonly logFile: string;
  readonly programs: EnginePrograms;
  /** How long the engine may take until it answers. Milliseconds; default 10 000. */
  readonly timeoutMs?: number;
}

/** Milliseconds. The native engine answers within a few. */
const POLL_MS = 5;
const QUOTED_LINES = 5;

/** The command line of an engine. What opens the device becomes the engine, or is it, so its pid is the engine's. */
export function engineCommand(options: LaunchOptions): readonly [string, ...string[]] {
  const { engine, tunName, queues, offload } = options;
  const { datapath, node, dgram } = options.programs;
  const device = [tunName, '--listen', resolve(options.socketPath)];
  if (engine === 'native') {
    const several = queues > 1 ? ['--queues', String(queues)] : [];
    return [resolve(datapath), 'run', ...device, ...several];
  }
  const header = offload ? ['--vnet-hdr'] : [];
  return [resolve(datapath), 'tun-exec', ...device, ...header, '--', resolve(node), resolve(dgram)];
}

/**
 * Starts an engine that outlives this process: in a session of its own, with its output in the log file and `/` as
 * its folder. Resolves when it answers HELLO; it is idle then. When it does not come up it is ended.
 *
 * @throws CorduroyError `datapath` with the last lines that it logged
 */
export async function launchEngine(options: LaunchOptions): Promise<{ readonly pid: number }> {
  const deadline = performance.now() + (options.timeoutMs ?? 10_000);
  const { log, logStart } = openLog(options.logFile);
  const [program, ...args] = engineCommand(options);
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      // Nothing else of the daemon's environment: it may hold passwords, and NODE_OPTIONS would change the engine.
      env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
  } finally {
    closeSync(log);
  }
  let ending: string | undefined;
  child.once('error', (error) => {
    ending = messageOf(error);
  });
  child.once('exit', (code, signal) => {
    ending ??= signal === null ? `exit code ${code}` : `signal ${signal}`;
  });

  const failed = (what: string) =>
    new CorduroyError(
      'datapath',
      `the data plane "${[program, ...args].join(' ')}" ${what}: ${lastLines(options.logFile, logStart)}`,
    );
  for (;;) {
    const left = deadline - performance.now();
    if (left <= 0) {
      child.kill('SIGKILL');
      throw failed(
        `did not answer within ${options.timeoutMs ?? 10_000} ms and was ended; see ${options.logFile}`,
      );
    }
    if (ending !== undefined) throw failed(`ended at once (${ending}); see ${options.logFile}`);
    // Another engine may hold the socket: only an answer of the child itself counts, and tun-exec refuses soon.
    if (child.pid !== undefined && (await answeringPid(options.socketPath, left)) === child.pid) {
      child.removeAllListeners();
      child.unref();
      return { pid: child.pid };
    }
    await sleep(POLL_MS);
  }
}

/** The pid of the engine that answers HELLO, if one does. In slices, so that an early end of the child is noticed. */
async function answeringPid(socketPath: string, left: number): Promise<number | undefined> {
  try {
    const datapath = await connectDatapath(socketPath, { timeoutMs: Math.min(left, 500) });
    datapath.close();
    return datapath.hello.pid;
  } catch {
    return undefined; // Not yet: the caller asks again until its deadline.
  }
}

function openLog(path: string): { log: number; logStart: number } {
  try {
    const log = openSync(path, 'a', 0o640);
    return { log, logStart: statSync(path).size };
  } catch (cause) {
    throw new CorduroyError(
      'datapath',
      `the data plane's log file ${path} cannot be opened (${messageOf(cause)}): make its folder, or name another file`,
      { cause },
    );
  }
}

function lastLines(path: string, start: number): string {
  try {
    const lines = readFileSync(path).subarray(start).toString('utf8').trim().split('\n').slice(-QUOTED_LINES);
    return lines.join('\n') || 'it logged nothing';
  } catch (error) {
    return `its log cannot be read (${messageOf(error)})`;
  }
}
