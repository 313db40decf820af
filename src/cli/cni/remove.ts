import { Command } from 'commander';
import { removeConflist } from '../../bridge/cni/conflist-file.ts';
import { cniSettings } from '../../bridge/cni/settings.ts';
import { addFlags } from '../../config/command-line.ts';
import { DAEMON_FLAGS } from '../../config/flags.ts';
import { readLinks } from '../../host/observe.ts';
import { changeSettings } from '../change-settings.ts';
import { optionsOf, print, printJson, requireRoot } from '../context.ts';

export function removeCommand(): Command {
  const command = new Command('remove')
    .description('take back what corduroy cni install did')
    .option('--json', 'print what was removed as JSON')
    .addHelpText(
      'after',
      `
Takes the settings out of the daemon's configuration file, and removes the CNI network configuration, unless somebody
has changed it. Containers that run keep their addresses, and the bridge they are on.

Examples:
  corduroy cni remove
  corduroy cni remove --json
`,
    )
    .action(async (settings: { json?: true }) => {
      requireRoot('corduroy cni remove', 'for files in /etc');
      const options = optionsOf(command);
      const { conflist, bridge, bridgeIsManaged } = cniSettings(options.flags);
      // First, or a running daemon would put the file back.
      const change = await changeSettings(options, {
        'cni-conflist': undefined,
        'cni-network': undefined,
        'cni-bridge': undefined,
      });
      const removal = removeConflist(conflist);
      const removed = [
        ...(change.written ? [`the settings in ${change.file}`] : []),
        ...(removal === 'removed' ? [conflist] : []),
      ];
      const notes = [
        ...(removal === 'kept' ? [`${conflist} is not as Corduroy wrote it, and stays: rm ${conflist}`] : []),
        ...(!bridgeIsManaged && removed.length > 0 && (await exists(bridge))
          ? [`the bridge ${bridge} stays; when no container uses it: ip link delete ${bridge}`]
          : []),
      ];
      if (settings.json) printJson({ schema: 1, removed, notes });
      else
        print(
          [
            ...(removed.length === 0
              ? ['there was nothing to remove']
              : removed.map((what) => `removed: ${what}`)),
            ...notes.map((note) => `note: ${note}`),
          ].join('\n'),
        );
    });
  return addFlags(command, DAEMON_FLAGS);
}

async function exists(link: string): Promise<boolean> {
  return (await readLinks()).some(({ ifname }) => ifname === link);
}
