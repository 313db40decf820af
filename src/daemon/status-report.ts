import { etcdPrefix } from '../config/etcd.ts';
import type { Options } from '../config/options.ts';
import type { Datapath, EngineStats } from '../datapath/datapath.ts';
import { isCode } from '../errors.ts';
import { queueDrops } from '../host/device-drops.ts';
import type { HeldLease } from '../lease/lease-keeper.ts';
import type { StoredLease } from '../lease/lease-table.ts';
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
  const { interface: iface, config, backend, leases, view } = daemon;
  const { flags } = options;
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
      connected: view.complete && view.fault === undefined,
    },
    ...(iface && {
      interface: { ...iface, address: iface.address.toString(), publicIp: iface.publicIp.toString() },
    }),
    ...(config && {
      network: {
        networks: config.network.ranges.map(({ network }) => network.toString()),
        backend: config.network.backend.type,
      },
    }),
    ...(leases.held && { lease: leaseStatus(leases.held, now) }),
    ...(backend && { mtu: backend.mtu }),
    subnetFile: options.subnetFile,
    ...(flags.bridge && { bridge: flags.bridge }),
    ...(engine &&
      stats && { engine: engineStatus(engine, stats, daemon.datapath.isRunning, options.names.tun) }),
    peers: daemon.peers.map((peer) => peerStatus(peer, stats)),
    ignoredLeases: daemon.rejected.map(({ entry, reason }) => ({ key: printable(entry.key), reason })),
  };
}

function silent({ hello }: Datapath): string {
  return (
    `the data plane (pid ${hello.pid}) does not answer; whether it forwards is not known. If it stays so: ` +
    'corduroy datapath restart'
  );
}

function leaseStatus({ subnets, key, timed }: HeldLease, now: number): NonNullable<StatusDocument['lease']> {
  return {
    subnets: subnets.map(String),
    key,
    ...(timed && { expiresIn: Math.round((timed.expiresAt - now) / 1000) }),
  };
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

export function peerStatus({ subnets, attributes }: StoredLease, stats: EngineStats | undefined): PeerStatus {
  const address = attributes.publicIp ?? attributes.publicIpv6;
  const traffic = stats?.peers.find((peer) => peer.address.equals(address));
  return {
    subnets: subnets.map(String),
    publicIp: String(address),
    backend: attributes.backendType ?? 'udp',
    sentPackets: Number(traffic?.sentPackets ?? 0n),
    sentBytes: Number(traffic?.sentBytes ?? 0n),
    receivedPackets: Number(traffic?.receivedPackets ?? 0n),
    receivedBytes: Number(traffic?.receivedBytes ?? 0n),
    ...(traffic !== undefined && traffic.pathMtu > 0 && { pathMtu: traffic.pathMtu }),
    ...(traffic?.noSegment && { noSegment: traffic.noSegment }),
  };
}
