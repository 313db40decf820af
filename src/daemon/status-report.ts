import { etcdPrefix } from '../config/etcd.ts';
import type { Options } from '../config/options.ts';
import type { Datapath, EngineStats } from '../datapath/datapath.ts';
import { isCode } from '../errors.ts';
import { queueDrops } from '../host/device-drops.ts';
import { type ExternalInterface, outerAddresses } from '../host/state.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import { leaseKey } from '../lease/lease-record.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import type { StoredNode } from '../lease/node-table.ts';
import { printable } from '../printable.ts';
import { VERSION } from '../version.ts';
import type { Daemon } from './daemon.ts';
import type { EngineStatus, PeerStatus, StatusDocument } from './status.ts';

/** Gathers what the daemon, its lease and its data plane say now. @param now monotonic milliseconds */
export async function statusReport(
  daemon: Daemon,
  options: Options,
  startedAt: Date,
  now: number,
): Promise<StatusDocument> {
  const engine = daemon.datapath.engine;
  const stats = await engine?.stats().catch((error: unknown) => {
    if (isCode(error, 'datapath')) return undefined; // It has just gone: the daemon is on it.
    throw error;
  });
  const traffic = new Map(stats?.peers.map((peer) => [peer.address.toString(), peer]));
  const { config, leases, view, machine } = daemon;
  const backend = daemon.backends.current;
  const iface = daemon.interfaces.chosen;
  const { flags } = options;
  const unnamed = backend?.type === 'alloc' ? 'alloc' : 'udp';
  return {
    schema: 1,
    version: VERSION,
    pid: process.pid,
    instance: flags.instance,
    startedAt: startedAt.toISOString(),
    ready: daemon.ready && (engine === undefined || stats !== undefined),
    problems: [...daemon.problems, ...(engine && !stats ? [silent(engine)] : [])],
    etcd: {
      endpoints: flags['etcd-endpoints'],
      prefix: etcdPrefix(flags),
      connected: view.complete && view.fault === undefined && view.remembered === undefined,
    },
    node: { id: machine.nodeId, name: machine.hostName },
    ...(iface && {
      interface: interfaceStatus(iface),
    }),
    ...(config && {
      network: {
        networks: config.network.ranges.map(({ network }) => network.toString()),
        backend: config.network.backend.type,
      },
    }),
    ...(leases.isInUse && { lease: leaseStatus(leases, etcdPrefix(flags), now) }),
    ...(view.remembered && { remembered: rememberedStatus(view.remembered) }),
    ...(daemon.backends.mtu !== undefined && { mtu: daemon.backends.mtu }),
    subnetFile: options.subnetFile,
    ...(flags.bridge && { bridge: flags.bridge }),
    carriedBy: daemon.needsEngine ? 'engine' : 'kernel',
    ...(backend?.type === 'wireguard' && daemon.wireguard && { wireguard: daemon.wireguard }),
    ...(engine &&
      stats && { engine: engineStatus(engine, stats, daemon.datapath.isRunning, options.names.devices.tun) }),
    peers: daemon.peers.map((peer) => {
      const node = view.cluster.nodes.holderOf(peer);
      const isDirect = backend?.isDirect(peer, node?.capabilities ?? []) === true;
      return peerStatus(peer, trafficOf(peer, traffic), node, isDirect, unnamed);
    }),
    ignoredLeases: daemon.rejected.current.map(({ entry, reason }) => ({
      key: printable(entry.key),
      reason,
    })),
  };
}

function silent({ hello }: Datapath): string {
  return (
    `the data plane (pid ${hello.pid}) does not answer; whether it forwards is not known. If it stays so: ` +
    'corduroy datapath restart'
  );
}

function interfaceStatus(iface: ExternalInterface): NonNullable<StatusDocument['interface']> {
  const { name, mtu, why } = iface;
  const [first, second] = outerAddresses(iface).map(({ address, publicIp }) => ({
    address: address.toString(),
    publicIp: publicIp.toString(),
  }));
  return { name, mtu, why, ...(first ?? { address: '', publicIp: '' }), ...(second && { ipv6: second }) };
}

function leaseStatus(
  { subnets, held, state }: LeaseKeeper,
  prefix: string,
  now: number,
): NonNullable<StatusDocument['lease']> {
  return {
    subnets: subnets.map(String),
    key: held?.key ?? leaseKey(prefix, subnets),
    ...(held && !held.reserved && { expiresIn: Math.round((held.session.expiresAt - now) / 1000) }),
    reserved: held?.reserved ?? false,
    state: state.name,
    stateFor: Math.round((now - state.since) / 1000),
    reason: state.reason,
  };
}

function rememberedStatus(savedAt: Date): NonNullable<StatusDocument['remembered']> {
  const age = Math.round((Date.now() - savedAt.getTime()) / 1000);
  return { savedAt: savedAt.toISOString(), age };
}

export function engineStatus(
  { hello }: Pick<Datapath, 'hello'>,
  stats: EngineStats,
  ready: boolean,
  tun: string,
): EngineStatus {
  const lost = queueDrops(tun);
  const drops = Object.entries(stats.drops).filter(([, count]) => count > 0n);
  return {
    name: hello.engine,
    build: hello.build,
    pid: hello.pid,
    routes: stats.routes,
    ready,
    offloads: stats.offloads,
    drops: Object.fromEntries(drops.map(([reason, count]) => [reason, Number(count)])),
    ...(lost !== undefined && { queueDrops: lost }),
  };
}

type EngineTraffic = EngineStats['peers'][number];

/** Of its addresses, an engine sends to one. */
function trafficOf(
  { attributes: { publicIp, publicIpv6 } }: StoredLease,
  byAddress: ReadonlyMap<string, EngineTraffic>,
): EngineTraffic | undefined {
  return byAddress.get(String(publicIp)) ?? byAddress.get(String(publicIpv6));
}

/** @param unnamed what a lease without a BackendType is of */
export function peerStatus(
  lease: StoredLease,
  traffic: EngineTraffic | undefined,
  node: StoredNode | undefined,
  isDirect: boolean,
  unnamed: 'udp' | 'alloc' = 'udp',
): PeerStatus {
  const { publicIp, publicIpv6, backendType = unnamed } = lease.attributes;
  return {
    ...(node && { name: node.hostName, version: node.version }),
    subnets: lease.subnets.map(String),
    publicIp: String(traffic?.address ?? publicIp ?? publicIpv6),
    backend: backendType,
    path: isDirect ? 'direct' : 'encapsulated',
    sentPackets: Number(traffic?.sentPackets ?? 0n),
    sentBytes: Number(traffic?.sentBytes ?? 0n),
    receivedPackets: Number(traffic?.receivedPackets ?? 0n),
    receivedBytes: Number(traffic?.receivedBytes ?? 0n),
    ...(traffic !== undefined && traffic.pathMtu > 0 && { pathMtu: traffic.pathMtu }),
    ...(traffic?.noSegment && { noSegment: traffic.noSegment }),
  };
}
