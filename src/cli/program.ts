import { Command } from 'commander';
import { VERSION } from '../version.ts';
import { cniCommand } from './cni.ts';
import { completionCommand } from './completion.ts';
import { configCommand } from './config.ts';
import { datapathCommand } from './datapath.ts';
import { dockerCommand } from './docker.ts';
import { dockerOptsCommand } from './docker-opts.ts';
import { downCommand } from './down.ts';
import { ifaceCommand } from './iface.ts';
import { initCommand } from './init.ts';
import { joinCommand } from './join.ts';
import { labCommand } from './lab.ts';
import { leasesCommand } from './leases.ts';
import { reloadCommand } from './reload.ts';
import { statusCommand } from './status.ts';
import { tokenCommand } from './token.ts';
import { waitCommand } from './wait.ts';
import { wireguardCommand } from './wireguard.ts';

/** The operator's command with all its commands: what is run, and what the manual and the completion are made from. */
export function corduroyProgram(): Command {
  const program = new Command('corduroy')
    .description(
      'Looks after the overlay network of this host: what corduroyd does, as seen by its operator.',
    )
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
    initCommand(),
    joinCommand(),
    tokenCommand(),
    statusCommand(),
    leasesCommand(),
    configCommand(),
    waitCommand(),
    reloadCommand(),
    datapathCommand(),
    wireguardCommand(),
    dockerCommand(),
    dockerOptsCommand(),
    cniCommand(),
    ifaceCommand(),
    downCommand(),
    labCommand(),
    completionCommand(program),
  ]) {
    program.addCommand(command);
  }
  return program;
}

/** The command itself, and all below it. */
export function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}
