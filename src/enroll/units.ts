import { existsSync } from 'node:fs';
import { CorduroyError } from '../errors.ts';
import { run } from '../host/exec.ts';
import { printable } from '../printable.ts';

export const ETCD_UNIT = 'corduroy-etcd.service';

export function daemonUnit(instance: string): string {
  return instance === '' ? 'corduroyd.service' : `corduroyd@${instance}.service`;
}

/** As sd_booted(3). */
export function runsSystemd(): boolean {
  return existsSync('/run/systemd/system');
}

/** @throws CorduroyError `usage` saying what this host lacks, before anything is changed on it */
export async function requireUnits(units: readonly string[]): Promise<void> {
  const files =
    'with --no-start this command writes the files only, and says how to start what belongs to them';
  if (!runsSystemd()) throw new CorduroyError('usage', `this host is not run by systemd: ${files}`);
  for (const unit of units) {
    const { code } = await run('systemctl', ['cat', unit], { allowFailure: true });
    if (code === 0) continue;
    throw new CorduroyError(
      'usage',
      `systemd knows no ${unit}: install Corduroy's package, or make install, then systemctl daemon-reload; ${files}`,
    );
  }
}

/** Milliseconds. */
const START_TIMEOUT = 100_000;

/** Starts it now and with every boot. Resolves when it is ready. @throws CorduroyError `host-command` */
export async function enableAndStart(unit: string): Promise<void> {
  await enable(unit);
  await systemctl('start', unit);
}

/** It starts with every boot. */
export async function enable(unit: string): Promise<void> {
  await run('systemctl', ['enable', '--quiet', unit]);
}

export async function restart(unit: string): Promise<void> {
  await systemctl('restart', unit);
}

/** Starts it without waiting until it is ready. */
export async function begin(unit: string): Promise<void> {
  await run('systemctl', ['start', '--no-block', unit]);
}

async function systemctl(verb: string, unit: string): Promise<void> {
  // After failures in a row systemd refuses to start it for a while.
  await run('systemctl', ['reset-failed', unit], { allowFailure: true });
  const { code } = await run('systemctl', [verb, unit], { timeout: START_TIMEOUT, allowFailure: true });
  if (code !== 0) throw new CorduroyError('host-command', `${unit} did not start: ${await lastWords(unit)}`);
}

export interface UnitState {
  /** systemd's ActiveState: `active`, `activating`, `failed`, … */
  readonly active: string;
  /** What the service says of itself; may be empty. */
  readonly status: string;
}

export async function unitState(unit: string): Promise<UnitState> {
  const { stdout } = await run('systemctl', ['show', '-p', 'ActiveState', '-p', 'StatusText', unit]);
  const property = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  return { active: property('ActiveState'), status: property('StatusText') };
}

/** What it logged last, and where to read more. */
export async function lastWords(unit: string): Promise<string> {
  const { status } = await unitState(unit);
  const journal = await run('journalctl', ['-u', unit, '-n', '3', '-o', 'cat', '--no-pager'], {
    allowFailure: true,
  });
  const words = status === '' ? journal.stdout.trim().split('\n').join(' | ') : status;
  return `${printable(words, 600) || 'no reason is known'}. See: journalctl -u ${unit}`;
}
