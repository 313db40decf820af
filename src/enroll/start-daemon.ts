import { setTimeout as sleep } from 'node:timers/promises';
import { daemonRequest, reloadDaemon } from '../daemon/control-client.ts';
import type { StatusDocument } from '../daemon/status.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { begin, daemonUnit, enable, lastWords, unitState } from './units.ts';

export interface DaemonStart {
  readonly instance: string;
  readonly socketPath: string;
  /** Seconds until it has to be ready. */
  readonly timeout: number;
  /** Told what it waits for, whenever that changes. */
  readonly say: (line: string) => void;
}

/** Milliseconds between two looks. */
const POLL = 200;
/** Milliseconds between two lines: what is wrong takes a moment to become clear. */
const SAY_EVERY = 5000;

/**
 * Starts the daemon, now and with every boot, or has a running one read its settings again; waits until it is ready.
 *
 * @throws CorduroyError `timeout`, `host-command` with what it says about it; `daemon-refused`: one that runs does not
 *   take the settings up, and goes on under those it has
 */
export async function startDaemon(start: DaemonStart): Promise<StatusDocument> {
  const { instance, socketPath, timeout, say } = start;
  const unit = daemonUnit(instance);
  await enable(unit);
  if (!(await reload(socketPath))) await begin(unit);
  const deadline = performance.now() + timeout * 1000;
  let [said, sayAt] = ['', performance.now() + SAY_EVERY / 2];
  for (let waiting = ''; ; await sleep(POLL)) {
    const status = await readStatus(socketPath);
    if (status?.ready) return status;
    waiting = status?.problems.join('; ') || waiting;
    if (waiting !== said && performance.now() > sayAt) {
      say(`corduroyd is waiting: ${waiting}`);
      [said, sayAt] = [waiting, performance.now() + SAY_EVERY];
    }
    const { active } = await unitState(unit);
    if (active === 'failed')
      throw new CorduroyError('host-command', `${unit} did not start: ${await lastWords(unit)}`);
    if (performance.now() > deadline) {
      throw new CorduroyError(
        'timeout',
        `corduroyd is not ready after ${timeout} s, and goes on trying: ${waiting || (await lastWords(unit))}. ` +
          'Follow it with: corduroy wait; corduroy status',
      );
    }
  }
}

/** @returns whether a daemon runs, under the settings as they are now */
async function reload(socketPath: string): Promise<boolean> {
  try {
    await reloadDaemon(socketPath);
    return true;
  } catch (error) {
    if (isCode(error, 'no-daemon')) return false;
    throw error;
  }
}

async function readStatus(socketPath: string): Promise<StatusDocument | undefined> {
  try {
    return (await daemonRequest(socketPath, 'GET', '/v1/status')) as StatusDocument;
  } catch (error) {
    if (isCode(error, 'no-daemon') || isCode(error, 'timeout')) return undefined;
    throw error;
  }
}
