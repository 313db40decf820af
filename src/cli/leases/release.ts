import { Command } from 'commander';
import { release } from '../../lease/administration/release.ts';
import { parseSubnets } from '../../lease/administration/requested-subnets.ts';
import { withEtcdFlags, withStore } from '../context.ts';
import { report } from './report.ts';

export function releaseCommand(): Command {
  const command = new Command('release')
    .argument('<subnet...>', 'the subnet in CIDR form')
    .description('end a reservation')
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
A reservation that a host uses becomes a lease like any other: that host goes on using it, and nothing is interrupted.
One that no host uses is deleted. Whether a flanneld uses one cannot be seen: it counts as not in use.
Exit code: 0 it is not reserved (perhaps it was not before), 1 refused or failed, 2 wrong use.

Examples:
  corduroy leases release 10.5.72.0/24
  corduroy leases release 10.5.72.0/24 --json
`,
    )
    .action(async (texts: string[], settings: { json?: true }) => {
      const subnets = parseSubnets(texts);
      const plan = await withStore(command, (store, prefix) => release(store, prefix, subnets));
      report(plan, settings.json === true);
    });
  return withEtcdFlags(command);
}
