import { Command } from 'commander';
import { DEFAULT_BRIDGE } from '../../bridge/docker/bridge-drift.ts';
import { bridgeProblem, observeBridge } from '../../bridge/docker/bridge-look.ts';
import { DockerApi } from '../../bridge/docker/docker-api.ts';
import { isAway } from '../../bridge/docker/http.ts';
import { observeNetwork } from '../../bridge/docker/network-look.ts';
import { dockerPresence } from '../../bridge/docker/presence.ts';
import { bridgeAddressesOf, type DockerSettings } from '../../bridge/docker/settings.ts';
import { findRulesInTheWay } from '../../bridge/foreign-rules.ts';
import type { Options } from '../../config/options.ts';
import { printable } from '../../printable.ts';
import { EXIT, optionsOf, print, printJson, withDaemonFlags } from '../context.ts';
import { bad, dim, good } from '../format.ts';
import { settingsNow } from './files.ts';

interface DockerStatus {
  readonly schema: 1;
  readonly how: string;
  /** Of the dockerd that runs; `null`: none does. */
  readonly version: string | null;
  /** What Docker's bridge should have; `null`: there is no subnet yet. */
  readonly wanted: {
    /** The first of the addresses. */
    readonly address: string;
    /** One a family, IPv4 first. */
    readonly addresses: readonly string[];
    readonly mtu: number;
  } | null;
  /** What docker0 has, or the network is like; `null` where there is none, or no dockerd. */
  readonly found: string | null;
  readonly problems: readonly string[];
}

export function dockerStatusCommand(): Command {
  const command = new Command('status')
    .description("compare Docker's bridge or network with the lease")
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
Exit code: 0 they agree, or Docker does not run; 1 they differ (see the health lines).

Examples:
  corduroy docker status
  corduroy docker status --json | jq -r '.problems[]'
`,
    )
    .action(async ({ json }: { json?: true }) => {
      const status = await dockerStatus(optionsOf(command));
      if (json) printJson(status);
      else print(formatDockerStatus(status));
      if (status.problems.length > 0) process.exitCode = EXIT.unhealthy;
    });
  return withDaemonFlags(command);
}

async function dockerStatus(options: Options): Promise<DockerStatus> {
  const settings = settingsNow(options);
  const version = await versionOf(options);
  const noSubnet = `there is no subnet in ${options.subnetFile} yet: corduroy wait`;
  const { found, problems } =
    settings === undefined
      ? { found: null, problems: options.flags.docker === 'off' ? [] : [noSubnet] }
      : await compare(options, settings, version !== null);
  return {
    schema: 1,
    how: options.flags.docker,
    version,
    wanted: settings === undefined ? null : wantedOf(settings),
    found,
    problems,
  };
}

function wantedOf(settings: DockerSettings): NonNullable<DockerStatus['wanted']> {
  const addresses = bridgeAddressesOf(settings);
  return { address: addresses[0] ?? '', addresses, mtu: settings.mtu };
}

async function versionOf({ flags }: Options): Promise<string | null> {
  if ((await dockerPresence(flags['docker-socket'])) !== 'running') return null;
  try {
    return (await DockerApi.connect(flags['docker-socket'])).version;
  } catch (error) {
    if (isAway(error)) return null;
    throw error;
  }
}

async function compare(
  options: Options,
  settings: DockerSettings,
  runs: boolean,
): Promise<{ found: string | null; problems: string[] }> {
  const { docker } = options.flags;
  if (!runs) return { found: null, problems: [] };
  if (docker === 'network') {
    const { plan, wanted } = await observeNetwork(options, settings);
    const phrase = `network ${wanted.name}`;
    switch (plan.kind) {
      case 'keep':
        return { found: `${phrase} as it should be`, problems: [] };
      case 'leave':
        return { found: phrase, problems: [plan.problem] };
      case 'create':
        return { found: null, problems: [`there is no ${phrase} yet: corduroyd makes it while it runs`] };
      case 'replace':
        return {
          found: phrase,
          problems: [`${phrase} has ${plan.why}: corduroyd makes it anew while it runs`],
        };
    }
  }
  const facts = await observeBridge(options);
  if (facts === undefined) return { found: null, problems: [] };
  const mtu = facts.mtu === undefined ? '' : `, MTU ${facts.mtu}`;
  const found = `${DEFAULT_BRIDGE} ${facts.addresses.map((one) => printable(one)).join(' and ')}${mtu}`;
  const problem = docker === 'off' ? undefined : bridgeProblem(options, settings, facts);
  const rules = await findRulesInTheWay(options, settings.subnets, !settings.masquerade);
  return {
    found,
    problems: [...(problem === undefined ? [] : [problem]), ...rules],
  };
}

function formatDockerStatus({ how, version, wanted, found, problems }: DockerStatus): string {
  const facts: [string, string][] = [
    ['how', how === 'off' ? 'off: corduroy docker configure --how options|daemon-json|network' : how],
    ['dockerd', version ?? 'does not run'],
    ['wanted', wanted === null ? 'no subnet yet' : `${wanted.addresses.join(' and ')}, MTU ${wanted.mtu}`],
    ['found', found ?? 'nothing'],
  ];
  const health =
    problems.length === 0
      ? [good('# Health: all is well')]
      : ['# Health:', ...problems.map((text) => bad(`# - ${text}`))];
  return [...facts.map(([name, text]) => `${dim(name.padEnd(7))}  ${text}`), '', ...health].join('\n');
}
