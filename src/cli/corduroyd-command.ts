import { Command } from 'commander';
import { addFlags, nameErrors } from '../config/command-line.ts';
import { FLAGS, type FlagName } from '../config/flags.ts';
import { VERSION } from '../version.ts';

const EXAMPLES = `
Every flag can also be given as an environment variable (CORDUROYD_ETCD_ENDPOINTS for --etcd-endpoints;
FLANNELD_* is read after CORDUROYD_*) or in the configuration file. The command line wins, then the environment.

Examples:
  corduroyd --etcd-endpoints=http://10.0.0.1:2379 --iface=eth1
  corduroyd --bridge=cbr0 --ip-masq                  # a host without Docker
  corduroyd --instance=lab --etcd-prefix=/lab        # a second network on this host
`;

/** The daemon's command line: what is parsed, and what its manual page and completion are made from. */
export function corduroydCommand(): Command {
  const command = new Command('corduroyd')
    .description("Leases this host's subnet in etcd and carries its containers' packets to the other hosts.")
    .version(VERSION, '--version', 'print the version')
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .exitOverride();
  nameErrors(command, 'corduroyd');
  return addFlags(command, Object.keys(FLAGS) as FlagName[]);
}
