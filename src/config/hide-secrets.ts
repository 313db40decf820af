import { FLAGS, type Flag, type FlagName } from './flags.ts';
import type { Given } from './options.ts';

/**
 * Takes secrets that were given on the command line out of sight: every user reads `/proc/PID/cmdline`. Setting the
 * title overwrites the memory of the arguments (and the name of the process, see prctl(2), PR_SET_NAME), so it is done
 * only if there is something to hide. Until then, and that is until the program has started, they can be read.
 */
export function hideSecrets(given: Given): void {
  const secrets = (Object.keys(given) as FlagName[])
    .filter((name) => (FLAGS[name] as Flag).secret === true)
    .flatMap((name) => given[name] ?? []);
  if (secrets.length === 0) return;
  const words = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  process.title = words.map((word) => masked(word, secrets)).join(' ');
}

/** A word is a secret, or `--flag=secret`. */
function masked(word: string, secrets: readonly string[]): string {
  const secret = secrets.find((text) => word === text || word.endsWith(`=${text}`));
  return secret === undefined ? word : `${word.slice(0, word.length - secret.length)}***`;
}
