import { Command } from 'commander';
import { takeBack } from '../../bridge/docker/configuration.ts';
import { optionsOf, requireRoot, withDaemonFlags } from '../context.ts';
import { type ApplySettings, apply, withApplyOptions } from './apply.ts';
import { DockerFiles } from './files.ts';

export function unconfigureCommand(): Command {
  const command = new Command('unconfigure')
    .description('take back what corduroy docker configure did: the files are as they were before it')
    .addHelpText(
      'after',
      `
What somebody has changed since is left. The Docker network is removed, unless containers are attached to it.
Exit code: 0 it is taken back, or there was nothing; 1 it failed or was declined.

Examples:
  corduroy docker unconfigure
  corduroy docker unconfigure --yes --restart
`,
    )
    .action(async (settings: ApplySettings) => {
      if (!settings.dryRun) requireRoot('corduroy docker unconfigure');
      const files = new DockerFiles(optionsOf(command));
      const now = files.read();
      const base = takeBack(now, files.record());
      await apply(files, { now, base, next: base, record: undefined }, settings);
    });
  return withDaemonFlags(withApplyOptions(command));
}
