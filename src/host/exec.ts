import { spawn } from 'node:child_process';
import { CorduroyError, isCode } from '../errors.ts';

export interface RunOptions {
  /** Written to standard input. */
  readonly input?: string;
  /** Milliseconds. Default 10 000. */
  readonly timeout?: number;
  /** Resolve whatever the exit code. */
  readonly allowFailure?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The Debian package of each command this program runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  ethtool: 'ethtool',
  nft: 'nftables',
  iptables: 'iptables',
  'iptables-restore': 'iptables',
  'iptables-save': 'iptables',
  'ip6tables-restore': 'iptables',
  'ip6tables-save': 'iptables',
  openssl: 'openssl',
  wg: 'wireguard-tools',
};

/**
 * Runs a command to its end; no shell is involved.
 * @throws CorduroyError `host-command` naming the command and what it said, or the package to install
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await new Promise<RunResult>((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'pipe' });
    // Not that of spawn: where there is no such command, it keeps this process alive until it is over.
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 10_000);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.stdin.on('error', () => undefined); // It ended without reading all: its exit code tells.
    child.stdin.end(options.input ?? '');
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(startError(command, error));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (signal === null) resolve({ code: code ?? -1, stdout, stderr });
      else
        reject(
          new CorduroyError('host-command', `${commandLine(command, args)} was ended by ${signal}`, {
            retryable: true,
          }),
        );
    });
  });
  if (result.code !== 0 && !options.allowFailure) {
    const said = result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`;
    throw new CorduroyError('host-command', `${commandLine(command, args)} failed: ${said}`, {
      retryable: true,
    });
  }
  return result;
}

/** As `run`, whatever the exit code; `undefined` where the host has no such command. */
export async function runIfThere(command: string, args: readonly string[]): Promise<RunResult | undefined> {
  try {
    return await run(command, args, { allowFailure: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether it is what `run` throws where the host has no such command. */
export function isMissing(error: unknown): boolean {
  if (!isCode(error, 'host-command')) return false;
  return error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ENOENT';
}

export interface StreamOptions {
  /** Of standard output, without its end. What is beyond 64 KiB of a line is left out. */
  readonly onLine: (line: string) => void;
  /** Of standard error. */
  readonly onComplaint: (line: string) => void;
  /** Ends the command. */
  readonly signal: AbortSignal;
}

/**
 * Runs a command that goes on until it is ended, and passes on each line as it comes. It does not outlive this process:
 * the kernel ends it along with it where `setpriv` can arrange that, elsewhere the first line that nobody reads does.
 *
 * @returns how it ended
 * @throws CorduroyError `host-command` when it cannot be started, naming the package to install
 */
export async function streamLines(
  command: string,
  args: readonly string[],
  { onLine, onComplaint, signal }: StreamOptions,
): Promise<string> {
  const bound = await canBind();
  if (signal.aborted) return 'not wanted';
  return await new Promise((resolve, reject) => {
    const child = bound
      ? spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const end = () => child.kill('SIGKILL');
    signal.addEventListener('abort', end, { once: true });
    child.stdout.setEncoding('utf8').on('data', lineReader(onLine));
    child.stderr.setEncoding('utf8').on('data', lineReader(onComplaint));
    child.on('error', (error: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', end);
      reject(startError(command, error));
    });
    child.on('close', (code, killer) => {
      signal.removeEventListener('abort', end);
      if (bound && code === NOT_FOUND) {
        reject(startError(command, Object.assign(new Error('not found'), { code: 'ENOENT' })));
      } else resolve(killer === null ? `exit code ${code}` : `signal ${killer}`);
    });
  });
}

/** Of setpriv, when there is no such command. */
const NOT_FOUND = 127;
const MAX_LINE = 65_536;

let binding: Promise<boolean> | undefined;

/** Whether setpriv is there and knows `--pdeathsig`; busybox's does not. */
async function canBind(): Promise<boolean> {
  binding ??= run('setpriv', ['--pdeathsig', 'KILL', 'true'], { allowFailure: true }).then(
    ({ code }) => code === 0,
    () => false,
  );
  return await binding;
}

/** Cuts chunks into lines. */
export function lineReader(onLine: (line: string) => void): (chunk: string) => void {
  let rest = '';
  return (chunk) => {
    const lines = chunk.split('\n');
    lines[0] = `${rest}${lines[0] ?? ''}`;
    rest = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) onLine(line.slice(0, MAX_LINE));
  };
}

function startError(command: string, error: NodeJS.ErrnoException): CorduroyError {
  const name = PACKAGES[command];
  const text =
    error.code === 'ENOENT' && name !== undefined
      ? `the command ${command} is missing: apt-get install ${name}`
      : `the command ${command} cannot be started: ${error.message}`;
  return new CorduroyError('host-command', text, { cause: error });
}

function commandLine(command: string, args: readonly string[]): string {
  return [command, ...args].join(' ');
}
