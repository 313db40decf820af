import { Command } from 'commander';
import { rotateWireguardKey } from '../daemon/control-client.ts';
import { daemonOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';

export function wireguardCommand(): Command {
  return new Command('wireguard')
    .description("this host's key in a network of the wireguard backend")
    .addHelpText('after', '\nExample:\n  corduroy wireguard rotate')
    .addCommand(rotateCommand());
}

function rotateCommand(): Command {
  const command = new Command('rotate')
    .description('give this host another key, without losing a packet')
    .option('--json', 'print the public keys as JSON')
    .addHelpText(
      'after',
      `
The daemon makes the key, keeps it in its state-dir, and publishes the public one in its lease; the other hosts take it up within
moments. Packets wait meanwhile, up to 128 to each host. Where etcd does not take the new key, the one before stays in use.

Exit code: 0 it is done, 1 it is not (standard error says why), 3 the daemon does not answer.

Examples:
  corduroy wireguard rotate
  corduroy wireguard rotate --json | jq -r .after
`,
    )
    .action(async (settings: { json?: true }) => {
      requireRoot('corduroy wireguard rotate', 'for the socket of corduroyd');
      const rotation = await rotateWireguardKey(daemonOf(command).socket);
      if (settings.json) printJson({ schema: 1, ...rotation });
      else {
        const { before, after, lease, tookMs } = rotation;
        print(`the public key is ${after} now, and was ${before}: ${lease} says so after ${tookMs} ms`);
      }
    });
  return withDaemonFlags(command);
}
