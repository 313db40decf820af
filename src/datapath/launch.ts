import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, lstatSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
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
  /** How long the engine may take until it answers. Milliseconds; default LAUNCH_TIMEOUT_MS. */
  readonly timeoutMs?: number;
}

/** How long an engine may take until it answers. */
export const LAUNCH_TIMEOUT_MS = 10_000;
/** Milliseconds. The native engine answers within a few. */
const POLL_MS = 5;
const QUOTED_LINES = 5;

/** The command line of an engine. What opens the device becomes the engine, or is it, so its pid is the engine's. */
export function engineCommand(options: Omit<LaunchOptions, 'logFile'>): readonly [string, ...string[]] {
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
  const { socketPath, timeoutMs = LAUNCH_TIMEOUT_MS } = options;
  const { log, logStart } = openLog(options.logFile);
  const [program, ...args] = engineCommand(options);
  removeLink(socketPath);
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
  const outcome = await untilAnswering(
    socketPath,
    { isOwn: (pid) => pid === child.pid, ending: () => ending },
    timeoutMs,
  );
  if (outcome.how === 'answers') {
    child.removeAllListeners();
    child.unref();
    return { pid: outcome.pid };
  }
  if (outcome.how === 'silent') child.kill('SIGKILL');
  const what =
    outcome.how === 'silent'
      ? `did not answer within ${timeoutMs} ms and was ended`
      : `ended at once (${outcome.ending})`;
  throw new CorduroyError(
    'datapath',
    `the data plane "${[program, ...args].join(' ')}" ${what}; see ${options.logFile}: ${lastLines(options.logFile, logStart)}`,
  );
}

/** An engine that has been started. */
export interface EngineProcess {
  /** Whether the process id is this one's. */
  readonly isOwn: (pid: number) => boolean | Promise<boolean>;
  /** How it ended; `undefined` while it runs. Asked every few milliseconds. */
  readonly ending: () => string | undefined | Promise<string | undefined>;
}

type LaunchOutcome =
  | { readonly how: 'answers'; readonly pid: number }
  | { readonly how: 'silent' }
  | { readonly how: 'ended'; readonly ending: string };

/**
 * Waits for the process to answer HELLO. Another engine may hold the socket: only an answer of the process itself
 * counts, and one that finds the socket taken ends soon.
 */
export async function untilAnswering(
  socketPath: string,
  { isOwn, ending }: EngineProcess,
  timeoutMs = LAUNCH_TIMEOUT_MS,
): Promise<LaunchOutcome> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const left = deadline - performance.now();
    if (left <= 0) return { how: 'silent' };
    const ended = await ending();
    if (ended !== undefined) return { how: 'ended', ending: ended };
    const pid = await answeringPid(socketPath, left);
    if (pid !== undefined && (await isOwn(pid))) return { how: 'answers', pid };
    await sleep(POLL_MS);
  }
}

/** Left by a daemon whose engine ran as a unit: an engine binds its socket only where nothing or a socket is. */
function removeLink(socketPath: string): void {
  if (lstatSync(socketPath, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(socketPath);
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
