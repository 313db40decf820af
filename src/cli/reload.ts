import { Command } from 'commander';
import { reloadDaemon } from '../daemon/control-client.ts';
import { daemonOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';

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
      const changed = await reloadDaemon(daemonOf(command).socket);
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
