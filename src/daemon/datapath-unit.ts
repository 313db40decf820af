import { mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { RUN_FILES } from '../config/names.ts';
import { engineCommand, LAUNCH_TIMEOUT_MS, type LaunchOptions, untilAnswering } from '../datapath/launch.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { run } from '../host/exec.ts';

export interface UnitLaunchOptions extends Omit<LaunchOptions, 'logFile' | 'socketPath'> {
  /** A service whose ExecStart is `corduroy-datapath $CORDUROY_DATAPATH_ARGS`, with datapath.env as EnvironmentFile. */
  readonly unit: string;
  readonly runDir: string;
  /** Ends the wait: the daemon is about to end. */
  readonly signal: AbortSignal;
  /** `run` of host/exec.ts; a test puts its own in place. */
  readonly execute?: typeof run;
}

/** Milliseconds between two questions whether the unit's process is still there. */
const LOOK_EVERY = 250;
const QUOTED_LINES = '5';
/** What systemd takes from a variable as one word, without quoting. */
const PLAIN_WORD = /^[A-Za-z0-9@%+=:,./_-]+$/;

/**
 * Has systemd run an engine, in a unit of its own: it outlives this process, with rights that the unit grants. Resolves
 * when it answers HELLO; it is idle then. One that does not come up is stopped.
 *
 * The unit need not be allowed to write in the run-dir: the engine binds its socket in a folder there that may be another
 * user's, and the usual path leads to it.
 *
 * @throws CorduroyError `datapath` with what systemd says of the unit, or the last lines that the engine logged
 */
export async function launchUnit(options: UnitLaunchOptions): Promise<{ readonly pid: number }> {
  const { unit, runDir, signal, timeoutMs = LAUNCH_TIMEOUT_MS, execute = run } = options;
  const socketPath = join(runDir, RUN_FILES.datapathSocket);
  const unitSocket = join(runDir, RUN_FILES.unitSocket);
  const systemd = new Systemd(unit, execute);
  writeAtomically(join(runDir, RUN_FILES.datapathEnvironment), environmentFor(options), 0o644);
  mkdirSync(dirname(unitSocket), { recursive: true });
  lead(socketPath, unitSocket);

  // Whoever is still in the unit does not answer any more, or is about to end.
  await systemd.restart();
  const lookForEnd = atIntervals(LOOK_EVERY, async () => (await systemd.process()).ending);
  const outcome = await untilAnswering(
    socketPath,
    {
      isOwn: async (pid) => (await systemd.process()).pid === pid,
      ending: async () => (signal.aborted ? 'not waited for: corduroyd ends' : await lookForEnd()),
    },
    timeoutMs,
  );
  if (outcome.how === 'answers') return { pid: outcome.pid };
  if (signal.aborted) throw failure(unit, 'corduroyd ends before it answers');
  const said = await systemd.lastLines();
  if (outcome.how === 'silent') await systemd.stop();
  const what =
    outcome.how === 'silent'
      ? `did not answer within ${timeoutMs} ms and was stopped`
      : `ended at once (${outcome.ending})`;
  throw failure(unit, `${what}: ${said}`);
}

/** Whether the engine that answers is the unit's and was started as `launchUnit` would, by whomever. */
export function isUnitFor(options: UnitLaunchOptions): boolean {
  const { runDir } = options;
  const usesUnit = linkIn(join(runDir, RUN_FILES.datapathSocket)) === RUN_FILES.unitSocket;
  return usesUnit && readIfThere(join(runDir, RUN_FILES.datapathEnvironment)) === environmentFor(options);
}

/** The text of the unit's EnvironmentFile. Every user may read it. @throws CorduroyError `datapath` */
function environmentFor(options: UnitLaunchOptions): string {
  const { unit, runDir } = options;
  const [, ...words] = engineCommand({ ...options, socketPath: join(runDir, RUN_FILES.unitSocket) });
  const odd = words.find((word) => !PLAIN_WORD.test(word));
  if (odd !== undefined) {
    throw new CorduroyError(
      'datapath',
      `"${odd}" cannot be handed to ${unit}: a space or a special character is in it. Install to, and run in, folders ` +
        'without, or leave out --datapath-unit',
    );
  }
  return `# Written by corduroyd for ${unit}, at each start of the data plane.\nCORDUROY_DATAPATH_ARGS=${words.join(' ')}\n`;
}

/** Puts a symbolic link in place of whatever an engine has left there: nobody listens any more. */
function lead(path: string, target: string): void {
  const text = relative(dirname(path), target);
  if (linkIn(path) === text) return;
  rmSync(path, { force: true });
  symlinkSync(text, path);
}

/** Where a symbolic link leads; `undefined`: it is none, or not there. */
function linkIn(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

interface UnitProcess {
  readonly pid: number | undefined;
  /** How it ended; `undefined` while it runs, or is about to. */
  readonly ending: string | undefined;
}

/** What is asked of the service manager about one unit. */
class Systemd {
  readonly #unit: string;
  readonly #execute: typeof run;

  constructor(unit: string, execute: typeof run) {
    this.#unit = unit;
    this.#execute = execute;
  }

  /** Without waiting for it: the job may have to wait for this very daemon's end. */
  async restart(): Promise<void> {
    await this.#systemctl(['restart', '--no-block', this.#unit]);
  }

  async stop(): Promise<void> {
    await this.#systemctl(['stop', '--no-block', this.#unit]);
  }

  async process(): Promise<UnitProcess> {
    const shown = await this.#show('MainPID', 'Job', 'Result', 'ExecMainStatus');
    const pid = Number(shown.MainPID);
    if (pid > 0) return { pid, ending: undefined };
    // A job is shown as long as there is one.
    if (Number(shown.Job ?? 0) > 0) return { pid: undefined, ending: undefined };
    return {
      pid: undefined,
      ending: `${shown.Result || 'gone'}, status ${shown.ExecMainStatus ?? 'unknown'}`,
    };
  }

  /** Of what runs or has last run in the unit. Never rejects. */
  async lastLines(): Promise<string> {
    try {
      const { InvocationID: invocation = '' } = await this.#show('InvocationID');
      const match = `_SYSTEMD_INVOCATION_ID=${invocation}`;
      const words = ['--quiet', '--no-pager', '--output=cat', '--lines', QUOTED_LINES, match];
      const { stdout } = await this.#execute('journalctl', words);
      return stdout.trim() || 'it logged nothing';
    } catch (error) {
      return `its log cannot be read (${messageOf(error)})`;
    }
  }

  async #show(...properties: string[]): Promise<Partial<Record<string, string>>> {
    const text = await this.#systemctl(['show', `--property=${properties.join(',')}`, this.#unit]);
    return Object.fromEntries(
      text.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
    );
  }

  async #systemctl(words: readonly string[]): Promise<string> {
    try {
      return (await this.#execute('systemctl', ['--no-ask-password', ...words])).stdout;
    } catch (cause) {
      throw failure(this.#unit, messageOf(cause), cause);
    }
  }
}

function failure(unit: string, what: string, cause?: unknown): CorduroyError {
  const text = `the data plane's unit ${unit}: ${what}. See: systemctl status ${unit}; journalctl -u ${unit}`;
  return new CorduroyError('datapath', text, { cause, retryable: true });
}

/** Asks at most that often; in between nothing is known. */
function atIntervals(milliseconds: number, ask: () => Promise<string | undefined>) {
  let next = 0;
  return async (): Promise<string | undefined> => {
    if (performance.now() < next) return undefined;
    const answer = await ask();
    next = performance.now() + milliseconds;
    return answer;
  };
}
