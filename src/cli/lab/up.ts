import { Command, InvalidArgumentError } from 'commander';
import { wholeNumber } from '../../config/command-line.ts';
import { formatProblem } from '../../config/network-config.ts';
import { CorduroyError, messageOf } from '../../errors.ts';
import { Lab } from '../../lab/lab.ts';
import { hostFamiliesFor, LAB_NETWORK, labConfig } from '../../lab/network.ts';
import { requireTools } from '../../lab/tools.ts';
import { type LabSpec, MAX_HOSTS } from '../../lab/topology.ts';
import { Prefix } from '../../net/prefix.ts';
import { examineConfig, readDocument } from '../config/document.ts';
import { print, requireRoot } from '../context.ts';
import { describeLab } from './describe.ts';
import { labNameOption, PROGRAMS } from './find-lab.ts';

interface UpSettings {
  readonly name: string;
  readonly hosts: number;
  readonly network: string;
  readonly backend?: string;
  readonly ipv6?: true;
  readonly ipv6Only?: true;
  readonly config?: string;
  readonly links: number;
  readonly mtu: number;
}

export function upCommand(): Command {
  const command = new Command('up')
    .description('start a lab, or add hosts to one that is up')
    .option('--hosts <N>', 'how many hosts', wholeNumber(1, MAX_HOSTS), 3)
    .option('--backend <TYPE>', 'of the network config (default: udp)')
    .option('--ipv6', 'both families: containers have an IPv4 and an IPv6 address')
    .option('--ipv6-only', 'no host has an IPv4 address, nor has a container')
    .option('--network <CIDR>', 'the overlay, of IPv4', parseNetwork, LAB_NETWORK)
    .option(
      '--config <JSON>',
      'the whole network config in place of these four; or @FILE, or - for standard input',
    )
    .option('--links <N>', '2: hosts stand on two links in turn, a router between them', wholeNumber(1, 2), 1)
    .option('--mtu <BYTES>', 'of the links between the hosts', wholeNumber(576, 9000), 1500)
    .addHelpText(
      'after',
      `
Examples:
  corduroy lab up
  corduroy lab up --hosts 5 && corduroy lab ping
  corduroy lab up --backend vxlan --ipv6
  corduroy lab up --links 2 --config '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": true}}'
`,
    )
    .action(async (settings: UpSettings) => {
      requireRoot('corduroy lab');
      const { name, hosts } = settings;
      const given = (option: string) => command.getOptionValueSource(option) === 'cli';
      const lab = Lab.find(name, PROGRAMS);
      const spec = specOf(settings, given);
      const started = lab ?? (await startLab(spec));
      requireSame(started.spec, spec, given);
      try {
        for (let index = started.hosts().length + 1; index <= hosts; index++) {
          const host = await started.addHost(index);
          print(`${host.name} is ready`);
        }
      } catch (error) {
        process.stderr.write(
          `corduroy: the lab did not come up; what there is stays for a look: corduroy lab down --name ${name} removes it\n`,
        );
        throw error;
      }
      print(
        `\n${await describeLab(started)}\n\nTry:  corduroy lab ping --name ${name}\n      corduroy lab exec --name ${name} h1 -- corduroy status`,
      );
    });
  return labNameOption(command);
}

/** Options that make up the network config, by their names in the settings. */
const OF_CONFIG = { network: '--network', backend: '--backend', ipv6: '--ipv6', ipv6Only: '--ipv6-only' };

function specOf(settings: UpSettings, given: (option: string) => boolean): LabSpec {
  const { name, network, backend, ipv6, ipv6Only, config: whole, links, mtu } = settings;
  const beside = Object.entries(OF_CONFIG).find(([option]) => whole !== undefined && given(option));
  if (beside !== undefined)
    throw new CorduroyError('usage', `${beside[1]} goes into the network config, and --config is all of it`);
  if (ipv6Only && (ipv6 || given('network')))
    throw new CorduroyError('usage', `--ipv6-only leaves no room for ${ipv6 ? '--ipv6' : '--network'}`);
  const config =
    whole === undefined
      ? labConfig({
          families: ipv6Only ? [6] : ipv6 ? [4, 6] : [4],
          network,
          ...(backend !== undefined && { backend: { Type: backend } }),
        })
      : readDocument(whole).trim();
  return { name, config, hostFamilies: hostFamiliesFor(config), links, mtu };
}

/** A lab stays what it was made as. @throws CorduroyError `usage` */
function requireSame(is: LabSpec, asked: LabSpec, given: (option: string) => boolean): void {
  const differs =
    (given('links') && is.links !== asked.links) ||
    (given('mtu') && is.mtu !== asked.mtu) ||
    (['config', ...Object.keys(OF_CONFIG)].some(given) && is.config !== asked.config);
  if (!differs) return;
  const text = `lab ${is.name} is up with --links ${is.links} --mtu ${is.mtu} and its own network config`;
  throw new CorduroyError('usage', `${text}: end it first, with: corduroy lab down --name ${is.name}`);
}

/** A lab that does not get as far as its network config, or is interrupted before, is removed again. */
async function startLab(spec: LabSpec): Promise<Lab> {
  const { problems } = examineConfig(spec.config);
  if (problems.length > 0)
    throw new CorduroyError('usage', `the network config: ${problems.map(formatProblem).join('; ')}`);
  const lab = new Lab(spec, PROGRAMS);
  await requireTools();
  const interrupted = () => void Lab.down(spec.name).finally(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    await lab.start();
  } catch (error) {
    await Lab.down(spec.name);
    throw error;
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
  print('etcd is up');
  return lab;
}

function parseNetwork(text: string): string {
  try {
    return Prefix.parse(text).toString();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}
