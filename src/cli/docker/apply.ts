import type { Command } from 'commander';
import type { Configuration } from '../../bridge/docker/configuration.ts';
import { removeDockerNetwork } from '../../bridge/docker/network-look.ts';
import { FLAGS } from '../../config/flags.ts';
import { EXIT, print, printJson } from '../context.ts';
import { type Asking, confirmed } from './confirm.ts';
import type { Change, DockerFiles } from './files.ts';
import { formatRestart, restartDocker, restartFor } from './restart.ts';

export interface ApplySettings extends Asking {
  /** Restart Docker if it needs that. */
  readonly restart?: true;
}

/** The options of what changes Docker's files. */
export function withApplyOptions(command: Command): Command {
  return command
    .option('--yes', 'do not ask')
    .option('--dry-run', 'only show what would change')
    .option('--restart', 'restart Docker if it needs that: its containers stop')
    .option('--json', 'print the outcome as JSON; needs --yes or --dry-run');
}

/**
 * Shows a change, asks, carries it out, and says what is left to do.
 * @param more lines to say beside that
 */
export async function apply(
  files: DockerFiles,
  change: Change,
  { restart, ...asking }: ApplySettings,
  more: (reloaded: boolean) => string[] = () => [],
): Promise<void> {
  const { now, next } = change;
  const differences = files.difference(now, next);
  if (!(await confirmed(differences, asking))) {
    if (asking.json) printJson({ schema: 1, changed: false, differences });
    else if (!asking.dryRun) print('nothing was changed');
    if (!asking.dryRun) process.exitCode = EXIT.unhealthy;
    return;
  }
  const reloaded = await files.write(change);
  const left = [...(await dropNetwork(files, change)), ...files.leftovers(change)];
  const needed = await restartFor(now, next, files.options);
  if (restart) await restartDocker(needed);
  const remaining = restart ? 'none' : needed;
  if (asking.json) {
    const done = { changed: differences.length > 0, differences, reloaded, left };
    const restarted = restart === true && needed !== 'none';
    printJson({ schema: 1, ...done, restarted, restartNeeded: remaining !== 'none' });
    return;
  }
  const lines = [...more(reloaded), ...left.map((text) => `left: ${text}`), ...formatRestart(remaining)];
  if (lines.length > 0) print(lines.join('\n'));
}

/** One that the daemon no longer keeps. @returns what remains of it, a phrase each */
async function dropNetwork({ options }: DockerFiles, { now, next }: Change): Promise<readonly string[]> {
  const before = networkOf(now);
  if (before === undefined || before === networkOf(next)) return [];
  return (await removeDockerNetwork(options, before)).left;
}

function networkOf({ settings }: Configuration): string | undefined {
  if (settings.docker !== 'network') return undefined;
  return String(settings['docker-network'] ?? FLAGS['docker-network'].default);
}
