import type { OperatorCommand } from '../backend/backend.ts';
import { runInShell, type ShellResult } from '../host/shell.ts';
import { printable } from '../printable.ts';

/** Milliseconds that a command has. */
const TIME_LIMIT = 60_000;
/** Lines of its output that get into the log, and characters of each. */
const LOGGED = { lines: 20, characters: 200 } as const;
/** The daemon's settings, among them its password; and what tells systemd of its state. */
const DAEMONS_OWN = /^(CORDUROYD_|FLANNELD_|NOTIFY_SOCKET$|WATCHDOG_|LISTEN_)/;

export interface Run {
  /** One sentence: what failed, how, and its last words. Absent: it succeeded. */
  readonly failure?: string;
  /** What it printed, trimmed. */
  readonly printed: string;
}

export interface RunnerOptions {
  /** Is told how it went, and what the command said. */
  readonly say: (line: string) => void;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  /** Milliseconds. */
  readonly timeout?: number;
}

/**
 * Runs one of the operator's commands.
 * @param what it is about, such as `SubnetAddCommand for 10.5.3.0-24`
 */
export async function runOperatorCommand(
  what: string,
  { line, environment, input }: OperatorCommand,
  { say, signal, timeout = TIME_LIMIT }: RunnerOptions,
): Promise<Run> {
  const own = Object.entries(process.env).filter(([name]) => !DAEMONS_OWN.test(name));
  const result = await runInShell(line, {
    environment: { ...Object.fromEntries(own), ...environment },
    input,
    timeout,
    ...(signal && { signal }),
  });
  const said = linesOf(result);
  say(`${what} ${result.failure === undefined ? 'was run' : `failed: ${result.failure}`}`);
  for (const text of said.slice(0, LOGGED.lines)) say(`${what}: ${text}`);
  if (said.length > LOGGED.lines) say(`${what}: and ${said.length - LOGGED.lines} lines more`);
  const printed = result.stdout.trim();
  if (result.failure === undefined) return { printed };
  const last = said.at(-1);
  return { printed, failure: `${what} failed: ${result.failure}${last === undefined ? '' : `: ${last}`}` };
}

/** Complaints last: the last line is the one that tells why. */
function linesOf({ stdout, stderr }: ShellResult): string[] {
  return [...stdout.split('\n'), ...stderr.split('\n')]
    .filter((text) => text.trim() !== '')
    .map((text) => printable(text, LOGGED.characters));
}
