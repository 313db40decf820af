import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { parseSubnets } from '../../lease/administration/requested-subnets.ts';
import { revoke } from '../../lease/administration/revoke.ts';
import { withEtcdFlags, withStore } from '../context.ts';
import { report } from './report.ts';

export function revokeCommand(): Command {
  const command = new Command('revoke')
    .argument('<subnet...>', 'the subnet in CIDR form')
    .description(
      'take a lease away from a host that is gone: others drop their routes to it, its subnet is free',
    )
    .option('--force', 'without asking whether the host lives; needed for what cannot be asked (flanneld)')
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
The host is asked through etcd whether it lives, and has fifteen seconds to answer. One that lives keeps its lease: with
--force it would take it again at once. Stop it there instead, with corduroy down --release.
Exit code: 0 it is not leased (perhaps it was not before), 1 refused or failed, 2 wrong use.

Examples:
  corduroy leases revoke 10.5.75.0/24
  corduroy leases revoke 10.5.76.0/24 --force
`,
    )
    .action(async (texts: string[], settings: { force?: true; json?: true }) => {
      const subnets = parseSubnets(texts);
      const plan = await withStore(command, (store, prefix) =>
        revoke(
          {
            store,
            prefix,
            asker: `leases-revoke-${randomUUID()}`,
            now: () => performance.now(),
            sleep: async (milliseconds) => {
              await sleep(milliseconds);
            },
          },
          subnets,
          settings.force === true,
        ),
      );
      report(plan, settings.json === true);
    });
  return withEtcdFlags(command);
}
