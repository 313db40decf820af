import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../host/exec.ts';

/** Where a program runs. */
export interface Place {
  readonly namespace: string;
  /** A file to enter a mount namespace by: mounts.ts. */
  readonly mounts: string;
}

/**
 * `nsenter` and not `ip netns exec`: the latter remounts /sys, which programs like dockerd do not survive.
 * @param place a network namespace alone, or with a mount namespace
 */
export function inNamespace(place: string | Place, command: readonly string[]): string[] {
  if (typeof place === 'string') return ['nsenter', `--net=/run/netns/${place}`, '--', ...command];
  const { namespace, mounts } = place;
  // Whoever enters a mount namespace stands in its root.
  const here = ['env', `--chdir=${process.cwd()}`, ...command];
  return ['nsenter', `--net=/run/netns/${namespace}`, `--mount=${mounts}`, '--', ...here];
}

/** Starts a program that outlives this one, its output appended to the log. @returns its process id */
export function startInNamespace(
  place: string | Place,
  command: readonly string[],
  logFile: string,
  environment: NodeJS.ProcessEnv,
): number | undefined {
  const log = openSync(logFile, 'a', 0o640);
  const [program = '', ...args] = inNamespace(place, command);
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: environment,
    cwd: '/',
  });
  child.on('error', () => undefined); // Whoever waits for the program to answer finds out.
  child.unref();
  closeSync(log);
  return child.pid;
}

/** Runs a program on this terminal. @returns its exit code, as a shell would have it */
export async function runInNamespace(
  place: string | Place,
  command: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const [program = '', ...args] = inNamespace(place, command);
  const child = spawn(program, args, { stdio: 'inherit', env: environment });
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGTERM', passOn).on('SIGINT', () => undefined); // The terminal sends SIGINT to both.
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  process.off('SIGTERM', passOn);
  return code ?? (signal === 'SIGINT' ? 130 : 143);
}

/** Ends every process in a namespace, politely first. */
export async function endAllIn(namespace: string): Promise<void> {
  for (const [signal, patience] of [
    ['SIGTERM', 3000],
    ['SIGKILL', 3000],
  ] as const) {
    for (const pid of await pidsIn(namespace)) killIfThere(pid, signal);
    const deadline = performance.now() + patience;
    while (performance.now() < deadline) {
      if ((await pidsIn(namespace)).length === 0) return;
      await sleep(20);
    }
  }
}

async function pidsIn(namespace: string): Promise<number[]> {
  const { stdout } = await run('ip', ['netns', 'pids', namespace], { allowFailure: true });
  return stdout.split('\n').filter(Boolean).map(Number);
}

function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
