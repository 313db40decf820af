import { Command, Option } from 'commander';
import { bringIn, takeBack } from '../../bridge/docker/configuration.ts';
import { addFlags, givenFlags } from '../../config/command-line.ts';
import type { FlagName } from '../../config/flags.ts';
import type { Options } from '../../config/options.ts';
import { optionsOf, requireRoot, withDaemonFlags } from '../context.ts';
import { type ApplySettings, apply, withApplyOptions } from './apply.ts';
import { DockerFiles } from './files.ts';
import { type How, WAYS, wishFor } from './wish.ts';

interface Settings extends ApplySettings {
  readonly how: How;
}

/** Flags that are part of the choice: the daemon has to have them, too. */
const KEPT_FLAGS = ['docker-network', 'docker-socket', 'docker-config-file'] as const satisfies FlagName[];

export function configureCommand(): Command {
  const command = new Command('configure')
    .description("arrange how Docker gets this host's subnet: shows what it changes, and asks")
    .addOption(new Option('--how <HOW>', 'the way').choices(WAYS).makeOptionMandatory())
    .addHelpText(
      'after',
      `
options      a drop-in of docker.service has dockerd wait for corduroyd, and start with --bip, --mtu and --ip-masq from
             subnet.env; the containers of docker0 are in the overlay. The choice for systemd.
daemon-json  the same in dockerd's configuration file, which corduroyd keeps current; every other key stays as it is.
network      a Docker network of its own (docker run --network corduroy), which corduroyd makes and keeps; dockerd is
             neither configured nor restarted, and docker0 stays as it is.

Corduroy masquerades from then on ("ip-masq": true), unless its configuration file has that key: Docker would show the
other hosts this host in the place of a container. corduroy docker unconfigure takes all of it back; what was in the
place of daemon.json is beside it, as daemon.json.before-corduroy. A second run changes nothing.

Exit code: 0 it is arranged, 1 it failed or was declined, 2 something stands in the way, which is named.

Examples:
  corduroy docker configure --how options --restart
  corduroy docker configure --how daemon-json --dry-run
  corduroy docker configure --how network --docker-network overlay --yes
`,
    )
    .action(async (settings: Settings) => {
      if (!settings.dryRun) requireRoot('corduroy docker configure');
      await configure(optionsOf(command), givenOf(command), settings);
    });
  return withDaemonFlags(addFlags(withApplyOptions(command), KEPT_FLAGS));
}

function givenOf(command: Command): Readonly<Record<string, unknown>> {
  const given = givenFlags(command);
  return Object.fromEntries(KEPT_FLAGS.flatMap((name) => (given[name] ? [[name, given[name].at(-1)]] : [])));
}

async function configure(
  options: Options,
  given: Readonly<Record<string, unknown>>,
  { how, ...settings }: Settings,
): Promise<void> {
  const files = new DockerFiles(options);
  const now = files.read();
  const base = takeBack(now, files.record());
  const wish = await wishFor(how, options, base, given);
  const { next, record } = bringIn(base, wish, files.paths.daemonJson);
  const name = next.settings['docker-network'] ?? options.flags['docker-network'];
  await apply(files, { now, base, next, record }, settings, (reloaded) => [
    reloaded ? 'corduroyd has taken it up' : 'corduroyd is not running: it takes this up when it starts',
    ...(how === 'network' ? [`start containers with: docker run --network ${name}`] : []),
  ]);
}
