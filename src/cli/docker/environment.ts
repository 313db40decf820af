import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { optionsInFile } from '../../bridge/docker/daemon-json.ts';
import { dockerEnvironment, knowsDirectRouting } from '../../bridge/docker/dockerd.ts';
import { subnetOf } from '../../bridge/docker/settings.ts';
import { parseObject } from '../../config/edit-config-file.ts';
import { RUN_FILES } from '../../config/names.ts';
import { CorduroyError } from '../../errors.ts';
import { readIfThere, writeAtomically } from '../../host/atomic-file.ts';
import { optionsOf, print, withDaemonFlags } from '../context.ts';
import { settingsNow } from './files.ts';

interface Settings {
  readonly dockerd: string;
  readonly d?: string;
}

export function environmentCommand(): Command {
  const command = new Command('environment')
    .description(
      'write the options for the next start of dockerd: docker.service runs this, by the drop-in of --how options',
    )
    .addOption(new Option('--dockerd <FILE>', 'the dockerd that will get them').default('dockerd'))
    .addOption(
      new Option('-d <FILE>', 'file to write (default: docker.env in the run-dir); - for standard output'),
    )
    .addHelpText(
      'after',
      `
As corduroy docker-opts, but for this one dockerd: with --allow-direct-routing where it knows that (28.2 and newer, which
drop what other hosts send to containers without it), and without what its configuration file sets. Where there is no
subnet, the file is removed: dockerd then starts without, and not with one that was given back.

Examples:
  corduroy docker environment --dockerd /usr/bin/dockerd
  corduroy docker environment -d -
`,
    )
    .action(async ({ dockerd, d }: Settings) => {
      const options = optionsOf(command);
      const file = d === '-' ? undefined : (d ?? join(options.runDir, RUN_FILES.dockerEnvironment));
      const settings = settingsNow(options);
      if (settings === undefined) {
        // Of an earlier start: by now another host may have that subnet.
        if (file !== undefined) rmSync(file, { force: true });
        throw new CorduroyError(
          'usage',
          `there is no subnet in ${options.subnetFile}: corduroyd writes it when it has a lease (corduroy wait)`,
        );
      }
      const path = options.flags['docker-config-file'];
      const daemonJson = parseObject(readIfThere(path), path);
      const leftOut = optionsInFile(daemonJson, subnetOf(settings, 6) !== undefined);
      if (leftOut.length > 0)
        process.stderr.write(`corduroy: ${path} sets ${leftOut.join(', ')}, which dockerd goes by then\n`);
      const directRouting = await knowsDirectRouting(dockerd);
      const text = dockerEnvironment({ settings, directRouting, daemonJson });
      if (file === undefined) print(text);
      else writeAtomically(file, text, 0o644);
    });
  return withDaemonFlags(command);
}
