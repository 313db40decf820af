import { Command } from 'commander';
import { CorduroyError } from '../errors.ts';
import { Lab } from '../lab/lab.ts';
import { type PingResult, pingMatrix } from '../lab/ping-matrix.ts';
import { runInNamespace } from '../lab/processes.ts';
import { EXIT, print, printJson, requireRoot } from './context.ts';
import { bad, good, table } from './format.ts';
import { describeLab } from './lab/describe.ts';
import { findHost, findLab, labNameOption } from './lab/find-lab.ts';
import { upCommand } from './lab/up.ts';

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
      const command = words[0] === '--' ? words.slice(1) : words;
      const where = host.container.name === place ? host.container.namespace : host;
      process.exitCode = await runInNamespace(where, command, lab.environment(host));
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
      if (!json) return print(await describeLab(lab));
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
      if (json) printJson({ schema: 1, pings: results });
      else print(formatPings(results));
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

/** A table for each family. */
function formatPings(results: readonly PingResult[]): string {
  const families = [...new Set(results.map(({ family }) => family))];
  const tables = families.map((family) => {
    const pings = results.filter((one) => one.family === family);
    const names = [...new Set(pings.flatMap(({ from, to }) => [from, to]))];
    const cell = (from: string, to: string) => {
      const ping = pings.find((one) => one.from === from && one.to === to);
      if (ping === undefined) return '-';
      return ping.roundTrip === undefined ? 'no answer' : `${ping.roundTrip.toFixed(2)} ms`;
    };
    const corner = families.length > 1 ? `IPv${family}` : '';
    return table([[corner, ...names], ...names.map((from) => [from, ...names.map((to) => cell(from, to))])]);
  });
  return tables.join('\n\n');
}
