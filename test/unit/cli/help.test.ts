import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { configCommand } from '../../../src/cli/config.ts';
import { datapathCommand } from '../../../src/cli/datapath.ts';
import { dockerOptsCommand } from '../../../src/cli/docker-opts.ts';
import { downCommand } from '../../../src/cli/down.ts';
import { labCommand } from '../../../src/cli/lab.ts';
import { leasesCommand } from '../../../src/cli/leases.ts';
import { statusCommand } from '../../../src/cli/status.ts';
import { waitCommand } from '../../../src/cli/wait.ts';

const all = [
  configCommand(),
  datapathCommand(),
  dockerOptsCommand(),
  downCommand(),
  labCommand(),
  leasesCommand(),
  statusCommand(),
  waitCommand(),
].flatMap(withSubcommands);

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

test.each(all.map((command) => [`${command.parent?.name() ?? ''} ${command.name()}`, command] as const))(
  '%s --help has an example',
  (_name, command) => {
    expect(helpOf(command)).toMatch(/Examples?:\n {2}corduroy /);
  },
);
