import { Command } from 'commander';
import { checkCommand } from './config/check.ts';
import { getCommand } from './config/get.ts';
import { setCommand } from './config/set.ts';

export function configCommand(): Command {
  const command = new Command('config')
    .description('the network config in etcd, shared by all hosts')
    .addHelpText('after', '\nExample:\n  corduroy config get');
  return command.addCommand(getCommand()).addCommand(setCommand()).addCommand(checkCommand());
}
