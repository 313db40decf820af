import { readFile, writeFile } from 'node:fs/promises';
import { CorduroyError, messageOf } from '../errors.ts';
import { run } from './exec.ts';
import { observeHost } from './observe.ts';
import { type Ownership, planHost, planRemoval } from './plan.ts';
import type { HostState, ObservedHost, Sysctl } from './state.ts';

/**
 * Makes the host what it should be: reads, compares, applies one batch, verifies.
 *
 * @param look is shown what the host was like before
 * @returns what was changed, one line each; empty when all was right
 * @throws CorduroyError `host-command` naming what could not be brought about, or `foreign-object`
 */
export async function reconcileHost(
  wanted: HostState,
  own: Ownership,
  look: (found: ObservedHost) => void = () => undefined,
): Promise<string[]> {
  const found = await observeHost(own.protocol);
  look(found);
  const lines = planHost(wanted, found, own);
  const complaint = await applyBatch(lines);
  if (lines.length > 0) {
    const left = planHost(wanted, await observeHost(own.protocol), own);
    // Deleting an address or recreating a link takes routes along: one more pass puts them back.
    const secondComplaint = await applyBatch(left);
    const still = left.length === 0 ? [] : planHost(wanted, await observeHost(own.protocol), own);
    if (still.length > 0) {
      const said = secondComplaint || complaint;
      throw new CorduroyError(
        'host-command',
        `the host does not become what it should be; still to do: ${still.join('; ')}. ip said: ${said}${hint(still)}`,
        {
          retryable: true,
        },
      );
    }
  }
  const changed = await Promise.all(wanted.sysctls.map(ensureSysctl));
  return [...lines, ...changed.filter((line) => line !== undefined)];
}

/** A route of the same destination that bears another protocol number is never replaced. */
function hint(lines: readonly string[]): string {
  const [, prefix] =
    lines.map((line) => /^route add (?:blackhole )?(\S+)/.exec(line)).find((match) => match !== null) ?? [];
  return prefix === undefined
    ? ''
    : `. If another program has a route there, remove it: ip route show ${prefix}`;
}

/** Removes every link and route of this instance. @returns what was removed, one line each */
export async function removeFromHost(own: Ownership): Promise<string[]> {
  const lines = planRemoval(await observeHost(own.protocol), own);
  const complaint = await applyBatch(lines);
  const left = planRemoval(await observeHost(own.protocol), own);
  if (left.length > 0)
    throw new CorduroyError(
      'host-command',
      `could not be removed: ${left.join('; ')}. ip said: ${complaint}`,
    );
  return lines;
}

/** @returns what ip complained of; whether it matters, a second look at the host tells */
async function applyBatch(lines: readonly string[]): Promise<string> {
  if (lines.length === 0) return '';
  const { stderr } = await run('ip', ['-force', '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    allowFailure: true,
  });
  return stderr.trim().replaceAll('\n', ', ');
}

async function ensureSysctl({ path, value, optional }: Sysctl): Promise<string | undefined> {
  const file = `/proc/sys/${path}`;
  try {
    if ((await readFile(file, 'utf8')).trim() === value) return undefined;
    await writeFile(file, value);
    return `sysctl ${path.replaceAll('/', '.')}=${value}`;
  } catch (error) {
    if (optional && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CorduroyError('host-command', `${file} cannot be set to ${value}: ${messageOf(error)}`, {
      retryable: true,
    });
  }
}
