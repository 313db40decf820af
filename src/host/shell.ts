import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';

export interface ShellOptions {
  /** All of it: nothing is inherited. */
  readonly environment: NodeJS.ProcessEnv;
  /** Written to standard input. */
  readonly input: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
}

export interface ShellResult {
  /** How it went wrong: `exit code 2`, `it had no end after 60 s`. Absent: it did not. */
  readonly failure?: string;
  /** The beginning of what it said, at most 64 KiB. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Characters that are kept of each of its outputs. */
const MAX_OUTPUT = 65_536;
/** Milliseconds for what is still in the pipes when it has ended. */
const DRAIN = 100;

/**
 * Runs a line in `/bin/sh`, to its end or until its time is up. It has a process group of its own, which is killed then:
 * what it has started ends with it. What goes on in the background after an end in time is left alone, and not waited for.
 */
export async function runInShell(line: string, options: ShellOptions): Promise<ShellResult> {
  const { environment, input, timeout, signal } = options;
  if (signal?.aborted) return { failure: 'it was not started', stdout: '', stderr: '' };
  const child = spawn('/bin/sh', ['-c', line], { stdio: 'pipe', detached: true, cwd: '/', env: environment });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk.slice(0, MAX_OUTPUT - output[name].length);
    });
  }
  child.stdin.on('error', () => undefined); // It ended without reading all.
  child.stdin.end(input);

  let killedFor: string | undefined;
  const kill = (why: string) => {
    killedFor = why;
    if (child.pid !== undefined) killGroup(child.pid);
  };
  const timer = setTimeout(() => kill(`it had no end after ${timeout / 1000} s`), timeout);
  const abort = () => kill('it was ended along with the daemon');
  signal?.addEventListener('abort', abort, { once: true });
  const closed = new Promise((resolve) => child.on('close', resolve));
  const failure = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(`/bin/sh cannot be started: ${messageOf(error)}`));
    child.on('exit', (code, by) => {
      resolve(killedFor ?? (by === null ? exitText(code) : `it was ended by ${by}`));
    });
  });
  clearTimeout(timer);
  signal?.removeEventListener('abort', abort);
  await Promise.race([closed, sleep(DRAIN)]);
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  return { ...(failure !== undefined && { failure }), ...output };
}

function exitText(code: number | null): string | undefined {
  return code === 0 ? undefined : `exit code ${code}`;
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
