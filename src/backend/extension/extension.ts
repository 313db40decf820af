import type { Document, Problem } from '../../config/document.ts';
import type { SubnetRange } from '../../config/network-config.ts';
import { CorduroyError } from '../../errors.ts';
import type { LeaseAttributes } from '../../lease/lease-record.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Family } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import type {
  Backend,
  BackendContext,
  BackendInput,
  BackendKind,
  BackendState,
  OperatorCommand,
  PeerCommands,
} from '../backend.ts';
import { smallestInner } from '../inner-mtu.ts';
import { otherType } from '../other-type.ts';
import { publicAddresses } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';

const TYPE = 'extension';

/** In the order in which they are run. */
const COMMANDS = [
  'PreStartupCommand',
  'PostStartupCommand',
  'SubnetAddCommand',
  'SubnetRemoveCommand',
  'ShutdownCommand',
] as const;
type CommandOption = (typeof COMMANDS)[number];
type Lines = Readonly<Partial<Record<CommandOption, string>>>;

/** Characters of JSON: what is printed stands in the lease, and readers of leases have their limits. */
const MAX_PRINTED = 3072;

/**
 * The operator's own commands carry the packets: they are told of this host's subnet and of the peers that come and go.
 * As in flannel, but that ShutdownCommand is run, that failures are tried again, and that a lease which changes is
 * removed before it is added anew.
 */
export const extension: BackendKind = {
  type: TYPE,
  families: [4, 6],
  check: (options: Document, families) => {
    const problems: Problem[] = [];
    const entries = COMMANDS.map((option) => [option, lineOf(options, option, problems)]);
    const lines: Lines = Object.fromEntries(entries.filter(([, line]) => line !== undefined));
    const mtu = options.integer('MTU', problems, smallestInner(families), 65_535);
    const { PreStartupCommand: line } = lines;
    const startCommand = line === undefined ? undefined : commandOf('PreStartupCommand', line, {});
    return {
      value:
        problems.length === 0
          ? {
              ...(startCommand && { needs: { startCommand } }),
              open: (context) => openExtension(lines, mtu, context),
            }
          : undefined,
      problems,
      unknownKeys: options.keysBut(['Type', 'MTU', ...COMMANDS]),
    };
  },
};

/** An empty one is none, as in flannel. */
function lineOf(options: Document, option: CommandOption, problems: Problem[]): string | undefined {
  return options.parsed(option, problems, (line) => {
    if (line.includes('\0')) throw new CorduroyError('malformed', 'has to be without NUL characters');
    return line.trim() === '' ? undefined : line;
  });
}

function openExtension(lines: Lines, mtu: number | undefined, context: BackendContext): Backend {
  const { iface, families, printed } = context;
  if (JSON.stringify(printed).length > MAX_PRINTED) {
    throw new CorduroyError(
      'host-command',
      `PreStartupCommand printed ${printed.length} characters, which are too many for a lease: let it print less ` +
        `(${MAX_PRINTED} in JSON)`,
    );
  }
  const attributes: LeaseAttributes = {
    ...publicAddresses(iface, families),
    backendType: TYPE,
    ...(lines.PreStartupCommand !== undefined && { backendData: printed }),
  };
  const commandsOf = perLease((lease) => peerCommands(lines, lease));
  const desired = ({ ranges, subnets, peers }: BackendInput): BackendState => {
    const environment = { ...networkVariables(ranges), ...placeVariables(subnets, attributes) };
    const own = (option: CommandOption): OperatorCommand | undefined => {
      const line = lines[option];
      return line === undefined ? undefined : commandOf(option, line, environment);
    };
    const started = own('PostStartupCommand');
    const shutdown = own('ShutdownCommand');
    return {
      host: { links: [], routes: [], sysctls: [] },
      commands: {
        ...(started && { started }),
        ...(shutdown && { shutdown }),
        peers: new Map(peers.map((peer) => [peer.entry.key, commandsOf(peer)])),
      },
    };
  };
  return {
    type: TYPE,
    // Flannel's is the interface's, too: it cannot know what a command's tunnel takes away.
    mtu: mtu ?? iface.mtu,
    attributes,
    capabilities: [],
    warnings: [],
    objectionTo,
    isDirect: () => false,
    desired,
  };
}

/** As flannel, which passes over leases of other backends and data that is no string. */
function objectionTo({ attributes }: StoredLease): string | undefined {
  const { backendData = '' } = attributes;
  return (
    otherType(attributes, TYPE) ??
    (typeof backendData === 'string' ? undefined : 'its BackendData is no JSON string')
  );
}

function peerCommands(lines: Lines, { subnets, attributes }: StoredLease): PeerCommands {
  const { SubnetAddCommand: add, SubnetRemoveCommand: remove } = lines;
  const { backendData } = attributes;
  const data = typeof backendData === 'string' ? backendData : '';
  const environment = placeVariables(subnets, attributes);
  return {
    ...(add !== undefined && { added: commandOf('SubnetAddCommand', add, environment, data) }),
    ...(remove !== undefined && { removed: commandOf('SubnetRemoveCommand', remove, environment, data) }),
  };
}

/** What stands in another host's lease gets to a command by its environment and input alone, never into its line. */
function commandOf(
  option: CommandOption,
  line: string,
  environment: OperatorCommand['environment'],
  data = '',
): OperatorCommand {
  return { option, line, environment, input: `${data}\n` };
}

function networkVariables(ranges: readonly SubnetRange[]) {
  const networks = ranges.map(({ network }) => network);
  return { NETWORK: textOf(networks, 4), IPV6NETWORK: textOf(networks, 6) };
}

/** Flannel's names. Empty where there is none, so that no command takes the daemon's own variable of that name. */
function placeVariables(subnets: readonly Prefix[], { publicIp, publicIpv6 }: LeaseAttributes) {
  return {
    SUBNET: textOf(subnets, 4),
    IPV6SUBNET: textOf(subnets, 6),
    PUBLIC_IP: publicIp?.toString() ?? '',
    PUBLIC_IPV6: publicIpv6?.toString() ?? '',
  };
}

function textOf(prefixes: readonly Prefix[], family: Family): string {
  return prefixes.find((prefix) => prefix.family === family)?.toString() ?? '';
}
