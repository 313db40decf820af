import { readFile, writeFile } from 'node:fs/promises';
import { CorduroyError, messageOf } from '../errors.ts';
import { forwardAllIpv6, forwardsByDevice } from './ipv6-forwarding.ts';
import type { Sysctl } from './state.ts';

/**
 * Sets what differs, in their order; of several for one path the first has its way.
 *
 * @returns what was changed, one line each
 * @throws CorduroyError `host-command` naming one that cannot be set, after all others are
 */
export async function ensureSysctls(wanted: readonly Sysctl[]): Promise<string[]> {
  const first = new Map(wanted.toReversed().map((sysctl) => [sysctl.path, sysctl]));
  const changed: string[] = [];
  const failures: unknown[] = [];
  for (const sysctl of new Set(wanted.map(({ path }) => first.get(path)))) {
    try {
      const line = sysctl && (await ensureSysctl(sysctl));
      if (line !== undefined) changed.push(line);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return changed;
}

async function ensureSysctl(wanted: Sysctl): Promise<string | undefined> {
  const { path, value, optional, otherwise } = wanted;
  const file = `/proc/sys/${path}`;
  try {
    if ((await readFile(file, 'utf8')).trim() === value) return undefined;
    await writeFile(file, value);
    return `sysctl ${path}=${value}`;
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isMissing && optional) return undefined;
    if (isMissing && otherwise !== undefined && !forwardsByDevice()) return await forwardAllIpv6();
    const text = `${file} cannot be set to ${value}: ${messageOf(error)}. It takes: sysctl -w ${path}=${value}`;
    throw new CorduroyError('host-command', text, { retryable: true });
  }
}
