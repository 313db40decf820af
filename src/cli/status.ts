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
    ['MTU', String(status.mtu ?? 'unknown')],
    ...(status.wireguard === undefined
      ? []
      : [['wireguard', formatCarrier(status.wireguard)] as [string, string]]),
    ...(engine || status.carriedBy === 'engine'
      ? [['engine', formatEngine(engine)] as [string, string]]
      : []),
    ...(engine && engine.build !== status.version
      ? [['', formatBuilds(engine, status)] as [string, string]]
      : []),
    ...(engine && engine.offloads.length > 0
      ? [['offloads', formatOffloads(engine.offloads)] as [string, string]]
      : []),
    ...(engine ? [['drops', formatDrops(engine)] as [string, string]] : []),
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
    formatPeers(status),
    ...(ignored.length > 0 ? ['', ...ignored] : []),
    '',
    ...health,
  ].join('\n');
}

function formatCarrier(carrier: NonNullable<StatusDocument['wireguard']>): string {
  return carrier === 'kernel'
    ? 'by the kernel'
    : 'by wireguard-go, since the kernel has none: slower (modprobe wireguard, then ip link delete the device)';
}

function formatEngine(engine: EngineStatus | undefined): string {
  return engine === undefined
    ? 'not connected'
    : `${engine.name} ${engine.build} (pid ${engine.pid}), routes: ${engine.routes}`;
}

function formatPeers({ peers, engine }: StatusDocument): string {
  if (peers.length === 0) return 'no peers';
  const paths = peers.map(formatPath);
  const withPaths = paths.some((path) => path !== '');
  const withNames = peers.some(({ name }) => name !== undefined);
  const rows = peers.map((peer, index) => [
    ...(withNames ? [peer.name === undefined ? '-' : printable(peer.name)] : []),
    peer.publicIp,
    peer.subnets.join(' '),
    printable(peer.backend, 40),
    // What the kernel carries, nobody counts.
    ...(engine ? [counted(peer.sentPackets, peer.sentBytes)] : []),
    ...(engine ? [counted(peer.receivedPackets, peer.receivedBytes)] : []),
    ...(withPaths ? [paths[index] ?? ''] : []),
  ]);
  const path = withPaths ? ['PATH'] : [];
  const name = withNames ? ['HOST'] : [];
  const counters = engine ? ['SENT', 'RECEIVED'] : [];
  return table([[...name, 'PEER', 'SUBNET', 'BACKEND', ...counters, ...path], ...rows]);
}

function counted(packets: number, total: number): string {
  return `${packets} packets, ${bytes(total)}`;
}

/** Whether it is a plain one, and what is less than it could be; empty for a tunnel that nothing is known to be less of. */
function formatPath({ path, pathMtu, noSegment }: PeerStatus): string {
  const parts = [
    ...(path === 'direct' ? [path] : []),
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
