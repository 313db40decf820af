import { createInterface } from 'node:readline/promises';
import type { FileDifference } from '../../bridge/docker/configuration.ts';
import { CorduroyError } from '../../errors.ts';
import { print } from '../context.ts';

export interface Asking {
  readonly yes?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** Shows what will change, and asks. @returns whether to go on */
export async function confirmed(differences: readonly FileDifference[], asking: Asking): Promise<boolean> {
  if (asking.json !== true) print(formatDifferences(differences));
  if (asking.dryRun || differences.length === 0) return asking.dryRun !== true;
  if (asking.yes) return true;
  if (asking.json || !process.stdin.isTTY)
    throw new CorduroyError(
      'usage',
      'nobody can be asked here: add --yes to change these files, or --dry-run to look',
    );
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question('Change this? [y/N] ');
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

function formatDifferences(differences: readonly FileDifference[]): string {
  if (differences.length === 0) return 'the files are as they should be';
  return differences
    .map(({ path, lines }) => [path, ...lines.map((line) => `  ${line}`)].join('\n'))
    .join('\n');
}
