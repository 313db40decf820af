import { Command, Option } from 'commander';
import { dockerOptions } from '../bridge/docker/mk-docker-opts.ts';
import { CorduroyError } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { optionsOf, print, withDaemonFlags } from './context.ts';

interface Settings {
  readonly f?: string;
  readonly d: string;
  readonly i?: true;
  readonly c?: true;
  readonly k: string;
  readonly m?: true;
}

export function dockerOptsCommand(): Command {
  const command = new Command('docker-opts')
    .description(
      "turn subnet.env into options for dockerd: flannel's mk-docker-opts.sh, same flags, same output",
    )
    .addOption(
      new Option('-f <FILE>', "subnet.env to read (default: this daemon's, /run/flannel/subnet.env)"),
    )
    .addOption(
      new Option('-d <FILE>', 'file to write; - for standard output').default('/run/docker_opts.env'),
    )
    .addOption(new Option('-i', 'write one variable an option; without -i and -c, both forms are written'))
    .addOption(new Option('-c', 'write all options in one variable'))
    .addOption(new Option('-k <NAME>', 'name of that variable').default('DOCKER_OPTS'))
    .addOption(new Option('-m', 'leave out --ip-masq'))
    .addHelpText(
      'after',
      `
The file is yours: corduroy down does not remove it.

Examples:
  corduroy docker-opts -k DOCKER_NETWORK_OPTIONS -d /run/flannel/docker
  corduroy docker-opts -c -d -
`,
    )
    .action((settings: Settings) => {
      const file = settings.f ?? optionsOf(command).subnetFile;
      const text = readIfThere(file);
      if (text === undefined) {
        throw new CorduroyError(
          'usage',
          `there is no ${file}: corduroyd writes it when it has a lease (wait for it with: corduroy wait)`,
        );
      }
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(settings.k))
        throw new CorduroyError('usage', `-k is "${settings.k}"; it has to be a variable's name`);
      const both = !settings.i && !settings.c;
      const output = dockerOptions(text, {
        individual: both || settings.i === true,
        combined: both || settings.c === true,
        key: settings.k,
        omitIpMasq: settings.m === true,
      });
      if (settings.d === '-') print(output);
      else writeAtomically(settings.d, output, 0o644);
    });
  return withDaemonFlags(command);
}
