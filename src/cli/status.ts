import { Command } from 'commander';
import { daemonRequest } from '../daemon/control-client.ts';
import type { EngineStatus, PeerStatus, StatusDocument } from '../daemon/status.ts';
import { printable } from '../printable.ts';
import { daemonOf, EXIT, print, printJson, withDaemonFlags } from './context.ts';
import { bad, bytes, dim, duration, good, table } from './format.ts';

export function statusCommand(): Command {
  const command = new Command('status')
    .description('show lease, engine, peers and health of the daemon on this host')
    .option('--json', 'print the status document')
    .addHelpText(
      'after',
      `
Exit code: 0 all is well, 1 something is wrong (see the health lines), 3 the daemon does not answer, 4 it hangs.

Examples:
  corduroy status
  corduroy status --json | jq -r '.peers[].publicIp'
`,
    )
    .action(async (settings: { json?: true }) => {
      const status = await readStatus(command);
      if (settings.json) printJson(status);
      else print(formatStatus(status));
      if (status.problems.length > 0) process.exitCode = EXIT.unhealthy;
    });
  return withDaemonFlags(command);
}

/** @param timeout milliseconds */
export async function readStatus(command: Command, timeout = 5000): Promise<StatusDocument> {
  const { socket, fault } = daemonOf(command);
  const status = (await daemonRequest(socket, 'GET', '/v1/status', timeout)) as StatusDocument;
  // Once it was asked to read them, the daemon says so itself.
  if (fault === undefined || status.problems.some((text) => text.includes(fault))) return status;
  return { ...status, problems: [`the next start or reload would fail: ${fault}`, ...status.problems] };
}

export function formatStatus(status: StatusDocument): string {
  const { lease, engine, interface: iface, problems } = status;
  const facts: [string, string][] = [
    ['host', `${status.node.name} (${status.node.id})`],
    ['lease', lease ? formatLease(lease) : 'none'],
    [
      'network',
      status.network ? `${status.network.networks.join(' ')}, backend ${status.network.backend}` : 'unknown',
    ],
    [
      'etcd',
      `${status.etcd.endpoints.join(',')}, prefix ${status.etcd.prefix}, ${status.etcd.connected ? 'connected' : 'not connected'}`,
    ],
    [
      'interface',
      iface ? `${iface.name} (${formatAddresses(iface)}, MTU ${iface.mtu}): ${iface.why}` : 'not chosen yet',
    ],
    [
      'engine',
      engine
        ? `${engine.name} ${engine.build} (pid ${engine.pid}), MTU ${status.mtu}, routes: ${engine.routes}`
        : 'not connected',
    ],
    ...(engine && engine.build !== status.version
      ? [['', formatBuilds(engine, status)] as [string, string]]
      : []),
    ...(engine && engine.offloads.length > 0
      ? [['offloads', formatOffloads(engine.offloads)] as [string, string]]
      : []),
    ['drops', engine ? formatDrops(engine) : 'unknown'],
    ['subnet.env', status.subnetFile],
    ...(status.bridge ? [['bridge', status.bridge] as [string, string]] : []),
    ['daemon', `corduroyd ${status.version} (pid ${status.pid}), since ${status.startedAt}`],
  ];
  const ignored = status.ignoredLeases.map(({ key, reason }) => `ignored: ${key}: ${reason}`);
  const health =
    problems.length === 0
      ? [good('# Health: all is well')]
      : ['# Health:', ...problems.map((text) => bad(`# - ${text}`))];
  const width = Math.max(...facts.map(([name]) => name.length));
  return [
    ...facts.map(([name, text]) => `${dim(name.padEnd(width))}  ${text}`),
    '',
    formatPeers(status.peers),
    ...(ignored.length > 0 ? ['', ...ignored] : []),
    '',
    ...health,
  ].join('\n');
}

function formatPeers(peers: readonly PeerStatus[]): string {
  if (peers.length === 0) return 'no peers';
  const paths = peers.map(formatPath);
  const withPaths = paths.some((path) => path !== '');
  const withNames = peers.some(({ name }) => name !== undefined);
  const rows = peers.map((peer, index) => [
    ...(withNames ? [peer.name === undefined ? '-' : printable(peer.name)] : []),
    peer.publicIp,
    peer.subnets.join(' '),
    peer.backend,
    `${peer.sentPackets} packets, ${bytes(peer.sentBytes)}`,
    `${peer.receivedPackets} packets, ${bytes(peer.receivedBytes)}`,
    ...(withPaths ? [paths[index] ?? ''] : []),
  ]);
  const path = withPaths ? ['PATH'] : [];
  const name = withNames ? ['HOST'] : [];
  return table([[...name, 'PEER', 'SUBNET', 'BACKEND', 'SENT', 'RECEIVED', ...path], ...rows]);
}

/** What is less than it could be on the way to the peer; empty when nothing is known to be. */
function formatPath({ pathMtu, noSegment }: PeerStatus): string {
  const parts = [
    ...(pathMtu === undefined ? [] : [`takes ${pathMtu} bytes`]),
    ...(noSegment === undefined ? [] : [`sent one by one: ${printable(noSegment)}`]),
  ];
  return parts.join(', ');
}

/** A newer engine comes in only when somebody asks: its start is a gap in forwarding. */
function formatBuilds({ build }: EngineStatus, { version, instance }: StatusDocument): string {
  return `runs ${build}, installed ${version}: replace it with: ${restartCommandOf(instance)}`;
}

function restartCommandOf(instance: string): string {
  return `corduroy datapath restart${instance === '' ? '' : ` --instance ${instance}`}`;
}

function formatOffloads(offloads: EngineStatus['offloads']): string {
  const [first] = offloads;
  if (first?.state === 'off' && offloads.every(({ reason }) => reason === first.reason))
    return `all off (${printable(first.reason)})`;
  return offloads
    .map(
      ({ offload, state, reason }) => `${offload} ${state}${reason === '' ? '' : ` (${printable(reason)})`}`,
    )
    .join(', ');
}

function formatAddresses({ ipv6, ...first }: NonNullable<StatusDocument['interface']>): string {
  return [first, ...(ipv6 === undefined ? [] : [ipv6])]
    .map(({ address, publicIp }) => (address === publicIp ? address : `${address}, published as ${publicIp}`))
    .join('; ');
}

function formatLease({
  subnets,
  state,
  stateFor,
  expiresIn,
  reserved,
}: NonNullable<StatusDocument['lease']>): string {
  const end = reserved
    ? ', reserved, never expires'
    : expiresIn === undefined
      ? ''
      : `, ${formatExpiry(expiresIn)}`;
  return `${subnets.join(' ')}, ${state} for ${duration(stateFor)}${end}`;
}

function formatExpiry(seconds: number): string {
  return seconds > 0 ? `expires in ${duration(seconds)}` : `expired ${duration(-seconds)} ago`;
}

function formatDrops({ drops, queueDrops = 0 }: EngineStatus): string {
  const entries = Object.entries(drops);
  if (queueDrops > 0) entries.push(["the device's queue was full", queueDrops]);
  return entries.length === 0 ? 'none' : entries.map(([reason, count]) => `${reason} ${count}`).join(', ');
}
