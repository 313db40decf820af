import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { wholeNumber } from '../config/command-line.ts';
import { RUN_FILES } from '../config/names.ts';
import { readHostRecord } from '../daemon/state-file.ts';
import type { EngineStatus, StatusDocument } from '../daemon/status.ts';
import { stopEngine } from '../daemon/teardown.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { optionsOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';
import { readStatus } from './status.ts';

/** Milliseconds between two looks: the outage is known no better than that. */
const POLL = 10;

export function datapathCommand(): Command {
  return new Command('datapath')
    .description('the data plane process of this host, which moves the packets')
    .addHelpText('after', '\nExample:\n  corduroy datapath restart')
    .addCommand(restartCommand());
}

interface RestartSettings {
  readonly timeout: number;
  readonly json?: true;
}

function restartCommand(): Command {
  const command = new Command('restart')
    .description('replace the running data plane, of whatever version, by a new one: after an upgrade, say')
    .option(
      '--timeout <SECONDS>',
      'give up waiting for the new one after this long',
      wholeNumber(1, 3600),
      10,
    )
    .option('--json', 'print the outcome as JSON')
    .addHelpText(
      'after',
      `
Asks the data plane to end, and ends one that hangs; the daemon starts another one, which gets the same configuration and the whole table.
Packets are dropped meanwhile: the command says for how long. Connections through the overlay outlive it.

Exit code: 0 the new one holds the table, 1 the old one does not end or none is needed, 3 the daemon does not answer (then nothing was
done: nobody would start another), 4 the time is up and there is no new one.

Examples:
  corduroy datapath restart
  corduroy datapath restart --instance lab --timeout 60
`,
    )
    .action(async ({ timeout, json }: RestartSettings) => {
      requireRoot('corduroy datapath restart');
      const { runDir } = optionsOf(command);
      const { enginePid } = readHostRecord(join(runDir, RUN_FILES.state)).record;
      const stop = async () =>
        (await stopEngine(join(runDir, RUN_FILES.datapathSocket), enginePid)).length > 0;
      const replacement = await replaceEngine(stop, () => readStatus(command), timeout);
      if (json) printJson({ schema: 1, ...replacement });
      else print(formatReplacement(replacement));
    });
  return withDaemonFlags(command);
}

interface Replacement {
  /** `null`: there was none, or one of another protocol version. */
  readonly before: EngineStatus | null;
  readonly after: EngineStatus;
  /** From the end of the old one to the table of the new one, at most; `null`: none was running. */
  readonly outageMs: number | null;
}

/**
 * Ends the engine, and waits until the daemon has put another in its place.
 *
 * @param stop ends it; whether there was one
 * @param timeout seconds
 * @throws CorduroyError `no-daemon` before anything is done, `datapath` when the old one does not end, `timeout`
 */
export async function replaceEngine(
  stop: () => Promise<boolean>,
  readStatus: () => Promise<StatusDocument>,
  timeout: number,
): Promise<Replacement> {
  const { engine: before, carriedBy } = await requireDaemon(readStatus);
  if (carriedBy === 'kernel') {
    const text =
      "this network's backend has no data plane process: the kernel carries its packets, and goes on";
    throw new CorduroyError('datapath', text);
  }
  const started = performance.now();
  const ran = await stop();
  for (;;) {
    const { engine: after, problems } = await readStatus();
    const elapsed = Math.round(performance.now() - started);
    if (after?.ready && after.pid !== before?.pid) {
      return { before: before ?? null, after, outageMs: ran ? elapsed : null };
    }
    if (elapsed > timeout * 1000) {
      const why = problems.length === 0 ? 'its log says more' : problems.join('; ');
      throw new CorduroyError('timeout', `no new data plane after ${timeout} s: ${why}`);
    }
    await sleep(POLL);
  }
}

async function requireDaemon(readStatus: () => Promise<StatusDocument>): Promise<StatusDocument> {
  try {
    return await readStatus();
  } catch (error) {
    if (!isCode(error, 'no-daemon')) throw error;
    const text = `${error.message}. The data plane was left as it is: without the daemon nobody would start another`;
    throw new CorduroyError('no-daemon', text, { cause: error });
  }
}

function formatReplacement({ before, after, outageMs }: Replacement): string {
  const nameOf = ({ name, build, pid }: EngineStatus) => `${name} ${build} (pid ${pid})`;
  const old = before === null ? '' : ` in the place of ${nameOf(before)}`;
  const outage = outageMs === null ? 'none was running' : `${outageMs} ms without forwarding`;
  return `restarted: ${nameOf(after)}${old}, routes: ${after.routes}; ${outage}`;
}
