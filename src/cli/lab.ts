import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { wholeNumber } from '../config/command-line.ts';
import { formatProblem } from '../config/network-config.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { containerAddress, Lab, labConfig, requireTools } from '../lab/lab.ts';
import { pingMatrix } from '../lab/ping-matrix.ts';
import { runInNamespace } from '../lab/processes.ts';
import { LAB_NAME, type LabHost, type LabSpec, labFolder, MAX_HOSTS } from '../lab/topology.ts';
import { Prefix } from '../net/prefix.ts';
import { examineConfig } from './config.ts';
import { EXIT, print, printJson, requireRoot } from './context.ts';
import { bad, good, table } from './format.ts';

/** The built programs lie one folder up from this file. */
const PROGRAMS = dirname(dirname(fileURLToPath(import.meta.url)));

export function labCommand(): Command {
  const command = new Command('lab').description(
    'several hosts on this machine as network namespaces, each with a real daemon and one container, around a real etcd',
  );
  return command
    .addHelpText('after', '\nExample:\n  corduroy lab up --hosts 3 && corduroy lab ping; corduroy lab down')
    .enablePositionalOptions()
    .addCommand(upCommand())
    .addCommand(execCommand())
    .addCommand(statusCommand())
    .addCommand(pingCommand())
    .addCommand(downCommand());
}

function labNameOption(command: Command): Command {
  return command.option('--name <NAME>', 'the lab, 1 to 8 of a-z and 0-9', parseName, 'lab');
}

function parseName(text: string): string {
  if (!LAB_NAME.test(text)) throw new InvalidArgumentError('It has 1 to 8 of the characters a-z and 0-9.');
  return text;
}

function parseNetwork(text: string): string {
  try {
    return Prefix.parse(text).toString();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

interface UpSettings {
  readonly name: string;
  readonly hosts: number;
  readonly network: string;
  readonly mtu: number;
}

function upCommand(): Command {
  const command = new Command('up')
    .description('start a lab, or add hosts to one that is up')
    .option('--hosts <N>', 'how many hosts', wholeNumber(1, MAX_HOSTS), 3)
    .option('--network <CIDR>', 'the overlay', parseNetwork, '10.244.0.0/16')
    .option('--mtu <BYTES>', 'of the links between the hosts', wholeNumber(576, 9000), 1500)
    .addHelpText(
      'after',
      `
Examples:
  corduroy lab up
  corduroy lab up --hosts 5 && corduroy lab ping
`,
    )
    .action(async ({ name, hosts, network, mtu }: UpSettings) => {
      requireRoot('corduroy lab');
      const lab = Lab.find(name, PROGRAMS) ?? (await startLab({ name, network, mtu }));
      for (const option of ['network', 'mtu'] as const) {
        const asked = command.getOptionValueSource(option) === 'cli' && { network, mtu }[option];
        if (asked !== false && asked !== lab.spec[option]) {
          const text = `lab ${name} is up with --${option} ${lab.spec[option]}`;
          throw new CorduroyError('usage', `${text}: end it first, with: corduroy lab down --name ${name}`);
        }
      }
      try {
        for (let index = lab.hosts().length + 1; index <= hosts; index++) {
          const host = await lab.addHost(index);
          print(`${host.name} is ready`);
        }
      } catch (error) {
        process.stderr.write(
          `corduroy: the lab did not come up; what there is stays for a look: corduroy lab down --name ${name} removes it\n`,
        );
        throw error;
      }
      print(
        `\n${await describe(lab)}\n\nTry:  corduroy lab ping --name ${name}\n      corduroy lab exec --name ${name} h1 -- corduroy status`,
      );
    });
  return labNameOption(command);
}

/** A lab that does not get as far as its network config, or is interrupted before, is removed again. */
async function startLab(spec: LabSpec): Promise<Lab> {
  const problems = examineConfig(labConfig(spec.network)).problems;
  if (problems.length > 0)
    throw new CorduroyError('usage', `--network: ${problems.map(formatProblem).join('; ')}`);
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

function execCommand(): Command {
  const command = new Command('exec')
    .argument('<host>', 'a host (h1, h2, …) or a container (c1, c2, …)')
    .argument('<command...>', "the command; corduroy, run there, talks to that host's daemon")
    .description('run a command on a host or in a container of the lab; its exit code is passed on')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Examples:
  corduroy lab exec h1 -- corduroy status
  corduroy lab exec c1 -- ip address
`,
    )
    .action(async (place: string, words: string[], { name }: { name: string }) => {
      const lab = findLab(name);
      const host = findHost(lab, place);
      const namespace = host.container.name === place ? host.container.namespace : host.namespace;
      const command = words[0] === '--' ? words.slice(1) : words;
      process.exitCode = await runInNamespace(namespace, command, lab.environment(host));
    });
  return labNameOption(command);
}

function statusCommand(): Command {
  const command = new Command('status')
    .description('the hosts of the lab, their subnets and health')
    .option('--json', 'print the status document of every daemon')
    .addHelpText(
      'after',
      `
Examples:
  corduroy lab status
`,
    )
    .action(async ({ name, json }: { name: string; json?: true }) => {
      const lab = findLab(name);
      if (!json) return print(await describe(lab));
      const documents = lab
        .hosts()
        .map(async (host) => [host.name, await lab.status(host).catch(() => null)] as const);
      return printJson({ schema: 1, name, hosts: Object.fromEntries(await Promise.all(documents)) });
    });
  return labNameOption(command);
}

function pingCommand(): Command {
  const command = new Command('ping')
    .description("ping from every container to every other, at the overlay's full MTU, unfragmented")
    .option('--json', 'print the results as JSON')
    .addHelpText(
      'after',
      `
Exit code: 0 every ping was answered, 1 not all were.

Examples:
  corduroy lab ping
`,
    )
    .action(async ({ name, json }: { name: string; json?: true }) => {
      const lab = findLab(name);
      if (lab.hosts().length < 2)
        throw new CorduroyError(
          'usage',
          `lab ${name} has one container, and nobody to ping: corduroy lab up --hosts 2`,
        );
      const results = await pingMatrix(lab);
      if (json) {
        printJson({ schema: 1, pings: results });
      } else {
        const names = [...new Set(results.map(({ from }) => from))];
        const cell = (from: string, to: string) => {
          if (from === to) return '-';
          const time = results.find((one) => one.from === from && one.to === to)?.roundTrip;
          return time === undefined ? 'no answer' : `${time.toFixed(2)} ms`;
        };
        print(table([['', ...names], ...names.map((from) => [from, ...names.map((to) => cell(from, to))])]));
      }
      const lost = results.filter(({ roundTrip }) => roundTrip === undefined).length;
      if (!json)
        print(
          lost === 0
            ? good(`all ${results.length} pings answered`)
            : bad(`${lost} of ${results.length} pings not answered`),
        );
      if (lost > 0 || results.length === 0) process.exitCode = EXIT.unhealthy;
    });
  return labNameOption(command);
}

function downCommand(): Command {
  const command = new Command('down')
    .description('end the lab and remove its namespaces, processes and files')
    .addHelpText(
      'after',
      `
Examples:
  corduroy lab down
  corduroy lab down --name other
`,
    )
    .action(async ({ name }: { name: string }) => {
      requireRoot('corduroy lab');
      const removed = await Lab.down(name);
      print(
        removed.length === 0
          ? `there was no lab ${name}`
          : `removed lab ${name}: ${removed.length} namespaces and all that ran in them`,
      );
    });
  return labNameOption(command);
}

function findLab(name: string): Lab {
  requireRoot('corduroy lab');
  const lab = Lab.find(name, PROGRAMS);
  if (lab === undefined)
    throw new CorduroyError(
      'usage',
      `there is no lab ${name} (${labFolder(name)}): start it with: corduroy lab up --name ${name}`,
    );
  return lab;
}

function findHost(lab: Lab, place: string): LabHost {
  const hosts = lab.hosts();
  const host = hosts.find((one) => one.name === place || one.container.name === place);
  if (host === undefined)
    throw new CorduroyError(
      'usage',
      `${place} is not in the lab; there are ${hosts.flatMap((one) => [one.name, one.container.name]).join(', ')}`,
    );
  return host;
}

async function describe(lab: Lab): Promise<string> {
  const rows = lab.hosts().map(async (host) => {
    const status = await lab.status(host).catch(() => undefined);
    if (status === undefined)
      return [host.name, host.address, '-', host.container.name, '-', '-', 'no daemon'];
    const subnets = status.lease?.subnets ?? [];
    return [
      host.name,
      host.address,
      subnets.join(' ') || '-',
      host.container.name,
      subnets.length > 0 ? containerAddress(subnets) : '-',
      String(status.peers.length),
      status.problems.length === 0 ? 'well' : status.problems.join('; '),
    ];
  });
  return table([
    ['HOST', 'ADDRESS', 'SUBNET', 'CONTAINER', 'ADDRESS', 'PEERS', 'HEALTH'],
    ...(await Promise.all(rows)),
  ]);
}
