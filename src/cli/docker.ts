import { Command } from 'commander';
import { configureCommand } from './docker/configure.ts';
import { environmentCommand } from './docker/environment.ts';
import { dockerStatusCommand } from './docker/status.ts';
import { unconfigureCommand } from './docker/unconfigure.ts';

export function dockerCommand(): Command {
  const command = new Command('docker')
    .description("give Docker's containers this host's subnet")
    .addHelpText(
      'after',
      `
Examples:
  corduroy docker configure --how options --restart
  corduroy docker status`,
    );
  for (const sub of [configureCommand(), unconfigureCommand(), dockerStatusCommand(), environmentCommand()])
    command.addCommand(sub);
  return command;
}
