import { Command, Option } from 'commander';
import { addFlags } from '../config/command-line.ts';
import { DAEMON_FLAGS, type FlagName } from '../config/flags.ts';
import { interfaceWishes } from '../daemon/interface-keeper.ts';
import type { InterfaceChoice } from '../host/interface-choice.ts';
import { explainInterface, readHostNetwork } from '../host/interfaces.ts';
import { type ExternalInterface, outerAddresses } from '../host/state.ts';
import type { Family } from '../net/ip.ts';
import { EXIT, optionsOf, print, printJson } from './context.ts';
import { bad, good, table } from './format.ts';

const FLAGS_OF_CHOICE = [
  'iface',
  'iface-regex',
  'iface-can-reach',
  'public-ip',
  'public-ipv6',
  'etcd-endpoints',
  ...DAEMON_FLAGS,
] as const satisfies readonly FlagName[];

const NETWORKS = { ipv4: [4], dual: [4, 6], ipv6: [6] } as const satisfies Record<string, readonly Family[]>;

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
    .addOption(
      new Option(
        '--network <FAMILIES>',
        'address families of the network (default: ipv4, or ipv6 without that)',
      ).choices(Object.keys(NETWORKS)),
    )
    .option('--json', 'print the choice as JSON')
    .addHelpText(
      'after',
      `
Takes the flags of corduroyd that the choice depends on, and reads its environment and configuration file; changes
nothing. A network with both families (dual) needs an interface with an address of each. Exit code: 0 one is chosen, 1
none can be.

Examples:
  corduroy iface explain
  corduroy iface explain --iface-can-reach 10.0.0.1    # what that flag would do
  corduroy iface explain --network dual
  corduroy iface explain --json | jq -r .chosen.name
`,
    )
    .action(async (settings: { json?: true; network?: keyof typeof NETWORKS }) => {
      const { flags } = optionsOf(command);
      const families = settings.network === undefined ? [] : NETWORKS[settings.network];
      const choice = await explainInterface(interfaceWishes(flags), await readHostNetwork(), families);
      if (settings.json) printJson(choiceDocument(choice));
      else print(formatChoice(choice));
      if (choice.chosen === undefined) process.exitCode = EXIT.unhealthy;
    });
  return addFlags(command, FLAGS_OF_CHOICE);
}

/** `address` and `publicIp` are those of IPv4, or of IPv6 alone. */
function choiceDocument({ chosen, problem, candidates }: InterfaceChoice) {
  return {
    schema: 1,
    chosen: chosen === undefined ? null : { ...chosen, ...outerAddresses(chosen)[0] },
    ...(problem !== undefined && { problem }),
    candidates: candidates.map(({ isChosen, ...rest }) => ({ ...rest, chosen: isChosen })),
  };
}

/** Bytes of the outer IP and UDP headers; hosts send to each other by IPv4 where they have it. */
function overhead({ v4 }: ExternalInterface): number {
  return v4 === undefined ? 48 : 28;
}

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
            `${chosen.mtu - overhead(chosen)} with the udp backend`,
        );
  return [
    table([['', 'INTERFACE', 'ADDRESSES', 'MTU', 'WHY'], ...rows]),
    '',
    verdict,
    'Another interface: --iface=NAME of corduroyd, or "iface" in its configuration file. Another address for others to send to: --public-ip=IP, --public-ipv6=IP',
  ].join('\n');
}
