import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { givenFlags } from '../config/command-line.ts';
import { namesFor, RUN_FILES } from '../config/names.ts';
import { daemonRequest } from '../daemon/control-client.ts';
import { optionsOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';

/** Milliseconds: a round that waits for etcd has to run into its deadline before another daemon takes its place. */
const TIMEOUT = 60_000;

const answerSchema = z.object({ changed: z.array(z.string()) });

export function reloadCommand(): Command {
  const command = new Command('reload')
    .description('have the daemon read its configuration file again, and take up what has changed')
    .option('--json', 'print what has changed as JSON')
    .addHelpText(
      'after',
      `
Packets flow meanwhile. A file that cannot be used changes nothing; the health lines of the daemon say so until it is
mended. The command line and the environment of a running daemon cannot change: restart it for those, and for --run-dir.

Exit code: 0 it is done, 1 the settings are refused (standard error says why), 3 the daemon does not answer.

Examples:
  corduroy reload
  corduroy reload --instance lab && corduroy wait --instance lab
`,
    )
    .action(async (settings: { json?: true }) => {
      requireRoot('corduroy reload');
      const socket = join(runDirOf(command), RUN_FILES.daemonSocket);
      const { changed } = answerSchema.parse(await daemonRequest(socket, 'POST', '/v1/reload', TIMEOUT));
      if (settings.json) printJson({ schema: 1, changed });
      else
        print(
          changed.length === 0
            ? 'nothing has changed'
            : `taken up: ${changed.map((name) => `--${name}`).join(', ')}`,
        );
    });
  return withDaemonFlags(command);
}

/** Also where the file is what is wrong: that is for the daemon to say, and to show until it is mended. */
function runDirOf(command: Command): string {
  try {
    return optionsOf(command).runDir;
  } catch (error) {
    const given = givenFlags(command);
    const textOf = (name: 'run-dir' | 'instance', variable: string) =>
      given[name]?.at(-1) ?? process.env[variable];
    const instance = textOf('instance', 'CORDUROYD_INSTANCE') ?? '';
    const runDir = textOf('run-dir', 'CORDUROYD_RUN_DIR') ?? namesFor(instance).runDir;
    if (existsSync(join(runDir, RUN_FILES.daemonSocket))) return runDir;
    throw error;
  }
}
