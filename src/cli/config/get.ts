import { Command } from 'commander';
import { networkConfigKey } from '../../config/network-config.ts';
import { CorduroyError } from '../../errors.ts';
import { print, printJson, withEtcdFlags, withStore } from '../context.ts';

export function getCommand(): Command {
  const command = new Command('get')
    .description('print the network config as it stands in etcd')
    .addHelpText(
      'after',
      `
Examples:
  corduroy config get
  corduroy config get --etcd-prefix=/lab
`,
    )
    .option('--json', 'print key, revision and text as JSON')
    .action(async (settings: { json?: true }) => {
      const entry = await withStore(command, (store, prefix) => store.get(networkConfigKey(prefix)));
      if (entry === undefined) {
        throw new CorduroyError(
          'network-config',
          `there is no network config; write one with: corduroy config set '{"Network": "10.5.0.0/16"}'`,
        );
      }
      const { key, value, modRevision } = entry;
      if (settings.json) printJson({ schema: 1, key, modRevision: String(modRevision), value });
      else print(value);
    });
  return withEtcdFlags(command);
}
