import { spawn } from 'node:child_process';
import { CorduroyError } from '../errors.ts';

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
  nft: 'nftables',
  iptables: 'iptables',
  'iptables-restore': 'iptables',
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
    const child = spawn(command, args, {
      stdio: 'pipe',
      timeout: options.timeout ?? 10_000,
      killSignal: 'SIGKILL',
    });
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
    child.on('error', (error: NodeJS.ErrnoException) => reject(startError(command, error)));
    child.on('close', (code, signal) => {
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
