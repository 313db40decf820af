import { Command } from 'commander';
import { listCommand } from './leases/list.ts';
import { releaseCommand } from './leases/release.ts';
import { reserveCommand } from './leases/reserve.ts';
import { revokeCommand } from './leases/revoke.ts';

export function leasesCommand(): Command {
  const command = new Command('leases').description('the leases in etcd').addHelpText(
    'after',
    `
Examples:
  corduroy leases list
  corduroy leases reserve 10.5.72.0/24 --host db1`,
  );
  for (const sub of [listCommand(), reserveCommand(), releaseCommand(), revokeCommand()])
    command.addCommand(sub);
  return command;
}
