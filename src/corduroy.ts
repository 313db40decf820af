#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { configCommand } from './cli/config.ts';
import { EXIT } from './cli/context.ts';
import { datapathCommand } from './cli/datapath.ts';
import { dockerOptsCommand } from './cli/docker-opts.ts';
import { downCommand } from './cli/down.ts';
import { labCommand } from './cli/lab.ts';
import { leasesCommand } from './cli/leases.ts';
import { statusCommand } from './cli/status.ts';
import { waitCommand } from './cli/wait.ts';
import { nameErrors } from './config/command-line.ts';
import { CorduroyError, type ErrorCode, messageOf } from './errors.ts';
import { VERSION } from './version.ts';

const program = new Command('corduroy')
  .description('Looks after the overlay network of this host: what corduroyd does, as seen by its operator.')
  .version(VERSION, '--version', 'print the version')
  .enablePositionalOptions()
  .addHelpText(
    'after',
    `
Exit codes: 0 well, 1 unhealthy or failed, 2 wrong use, 3 the daemon does not answer, 4 time is up.

Examples:
  corduroy config set '{"Network": "10.5.0.0/16"}'    # once for the cluster
  corduroy wait && corduroy status                    # on every host
  corduroy lab up                                     # or try it all on this machine
`,
  );

for (const command of [
  statusCommand(),
  leasesCommand(),
  configCommand(),
  waitCommand(),
  datapathCommand(),
  dockerOptsCommand(),
  downCommand(),
  labCommand(),
]) {
  program.addCommand(command);
}
for (const command of withSubcommands(program)) nameErrors(command, 'corduroy').exitOverride();

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  'no-daemon': EXIT.noDaemon,
  timeout: EXIT.timeout,
};

program.parseAsync().then(
  () => process.exit(),
  (error: unknown) => {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : EXIT.usage);
    process.stderr.write(`corduroy: ${messageOf(error)}\n`);
    process.exit((error instanceof CorduroyError && EXIT_CODES[error.code]) || EXIT.unhealthy);
  },
);
