import { Command } from 'commander';
import { tearDown } from '../daemon/teardown.ts';
import { optionsOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';

export function downCommand(): Command {
  const command = new Command('down')
    .description('stop the daemon and the data plane, and remove everything Corduroy made on this host')
    .option(
      '--release',
      'give the lease back to etcd: the other hosts drop their routes at once, the subnet may go to another host',
    )
    .option('--force', 'also when the run-dir knows nothing of what stands on this host')
    .option('--json', 'print what was removed as JSON')
    .addHelpText(
      'after',
      `
Removes the devices, routes, firewall rules, sockets and subnet.env of this daemon (or --instance), and nothing else.
Files written by corduroy docker-opts stay, and so does
IPv6 forwarding of the whole host (net.ipv6.conf.all.forwarding, and accept_ra=2), which a network with IPv6 takes on Linux
before 6.17: other programs may have come to rely on it. Without --release the lease stays in etcd until it expires, so that this
host gets the same subnet when it comes back.

Examples:
  corduroy down
  corduroy down --release
`,
    )
    .action(async (settings: { release?: true; force?: true; json?: true }) => {
      requireRoot('corduroy down');
      const removed = await tearDown(optionsOf(command), {
        release: settings.release === true,
        force: settings.force === true,
      });
      if (settings.json) printJson({ schema: 1, removed });
      else
        print(
          removed.length === 0
            ? 'there was nothing to remove'
            : removed.map((line) => `removed: ${line}`).join('\n'),
        );
    });
  return withDaemonFlags(command);
}
