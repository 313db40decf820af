import { Command, Option } from 'commander';
import { CorduroyError } from '../../errors.ts';
import { parseSubnets } from '../../lease/administration/requested-subnets.ts';
import { type Beneficiary, reserve } from '../../lease/administration/reserve.ts';
import { isNodeId } from '../../lease/node-record.ts';
import { Ip } from '../../net/ip.ts';
import { printable } from '../../printable.ts';
import { withEtcdFlags, withStore } from '../context.ts';
import { report } from './report.ts';

interface Settings {
  readonly host?: string;
  readonly publicIp?: string;
  readonly json?: true;
}

export function reserveCommand(): Command {
  const command = new Command('reserve')
    .argument('<subnet...>', 'the subnet in CIDR form; of a network with IPv4 and IPv6, one of each')
    .description(
      'keep a subnet for a host, or free of all hosts; a lease of it stays with its holder for ever',
    )
    .addOption(
      new Option('--host <NAME|NODE-ID>', 'the host it is for, whatever its address').conflicts('publicIp'),
    )
    .option(
      '--public-ip <IP>',
      'the host it is for, by its public address, as flannel knows hosts: the IPv4 one',
    )
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
A reservation never expires. Reserved for nobody, a subnet is leased by no host. Leased by a host, it is pinned: that
host goes on using it, and nothing is interrupted. A host that has another lease keeps it until it gives it back
(corduroy down --release there). Names and node ids: corduroy leases list.
Exit code: 0 it is reserved (perhaps it was already), 1 refused or failed, 2 wrong use.

Examples:
  corduroy leases reserve 10.5.72.0/24 --host db1
  corduroy leases reserve 10.5.73.0/24 --public-ip 10.0.0.7
  corduroy leases reserve 10.5.74.0/24
`,
    )
    .action(async (texts: string[], settings: Settings) => {
      const subnets = parseSubnets(texts);
      const beneficiary = beneficiaryOf(settings);
      const plan = await withStore(command, (store, prefix) => reserve(store, prefix, subnets, beneficiary));
      report(plan, settings.json === true);
    });
  return withEtcdFlags(command);
}

/** @throws CorduroyError `usage` */
export function beneficiaryOf({ host, publicIp }: Settings): Beneficiary {
  if (host !== undefined) return { host: hostOf(host) };
  if (publicIp === undefined) return undefined;
  const ip = Ip.tryParse(publicIp);
  if (ip !== undefined) return { publicIp: ip };
  throw usage(`--public-ip "${publicIp}" is no IP address, such as 192.0.2.7`);
}

function hostOf(text: string): string {
  if (isNodeId(text.toLowerCase())) return text.toLowerCase();
  // The rule of --node-name, for what can be no host's name is honoured by none.
  if (/^[A-Za-z0-9._-]{1,253}$/.test(text)) return text;
  throw usage(`--host "${text}" is no host name (letters, digits, dots, dashes, underscores) and no node id`);
}

function usage(text: string): CorduroyError {
  return new CorduroyError('usage', printable(text));
}
