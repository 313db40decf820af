import { Command } from 'commander';
import { addFlags } from '../config/command-line.ts';
import { DAEMON_FLAGS, type FlagName } from '../config/flags.ts';
import { interfaceWishes } from '../daemon/interface-keeper.ts';
import type { InterfaceChoice } from '../host/interface-choice.ts';
import { explainInterface, readHostNetwork } from '../host/interfaces.ts';
import { outerAddresses } from '../host/state.ts';
import { EXIT, optionsOf, print, printJson } from './context.ts';
import { bad, good, table } from './format.ts';

const FLAGS_OF_CHOICE = [
  'iface',
  'iface-regex',
  'iface-can-reach',
  'public-ip',
  'etcd-endpoints',
  ...DAEMON_FLAGS,
] as const satisfies readonly FlagName[];

export function ifaceCommand(): Command {
  return new Command('iface')
    .description('the interface that the traffic between hosts goes by')
    .addHelpText('after', '\nExamples:\n  corduroy iface explain\n')
    .addCommand(explainCommand());
}

function explainCommand(): Command {
  const command = new Command('explain')
    .description(
      'show which interface a daemon started now would choose, and why it would choose none of the others',
    )
    .option('--json', 'print the choice as JSON')
    .addHelpText(
      'after',
      `
Takes the flags of corduroyd that the choice depends on, and reads its environment and configuration file; changes
nothing. Exit code: 0 one is chosen, 1 none can be.

Examples:
  corduroy iface explain
  corduroy iface explain --iface-can-reach 10.0.0.1    # what that flag would do
  corduroy iface explain --json | jq -r .chosen.name
`,
    )
    .action(async (settings: { json?: true }) => {
      const { flags } = optionsOf(command);
      const choice = await explainInterface(interfaceWishes(flags), await readHostNetwork());
      if (settings.json) printJson(choiceDocument(choice));
      else print(formatChoice(choice));
      if (choice.chosen === undefined) process.exitCode = EXIT.unhealthy;
    });
  return addFlags(command, FLAGS_OF_CHOICE);
}

function choiceDocument({ chosen, problem, candidates }: InterfaceChoice) {
  return {
    schema: 1,
    chosen: chosen ?? null,
    ...(problem !== undefined && { problem }),
    candidates: candidates.map(({ isChosen, ...rest }) => ({ ...rest, chosen: isChosen })),
  };
}

/** Bytes of the outer IPv4 and UDP headers. */
const OVERHEAD = 28;

function formatChoice({ chosen, problem, candidates }: InterfaceChoice): string {
  const rows = candidates.map(({ name, addresses, mtu, isChosen, why }) => [
    isChosen ? '*' : '',
    name,
    addresses.join(' ') || '-',
    String(mtu),
    why,
  ]);
  const verdict =
    chosen === undefined
      ? bad(`none can be chosen: ${problem}`)
      : good(
          `${chosen.name} is chosen: other hosts send to ${outerAddresses(chosen)
            .map(({ publicIp }) => publicIp)
            .join(' and ')}, and containers have an MTU of ` +
            `${chosen.mtu - OVERHEAD} with the udp backend`,
        );
  return [
    table([['', 'INTERFACE', 'ADDRESSES', 'MTU', 'WHY'], ...rows]),
    '',
    verdict,
    'Another interface: --iface=NAME of corduroyd, or "iface" in its configuration file. Another address for others to send to: --public-ip=IP',
  ].join('\n');
}
