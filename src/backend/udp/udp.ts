import type { Document, Problem } from '../../config/document.ts';
import { ENGINES, type EngineKind, type Route } from '../../datapath/datapath.ts';
import { CorduroyError } from '../../errors.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Ip } from '../../net/ip.ts';
import type { Backend, BackendContext, BackendInput, BackendKind, BackendState } from '../backend.ts';

/** Flannel's default. */
const DEFAULT_PORT = 8285;
/** IPv4 header and UDP header: the packet itself is the payload. */
const OVERHEAD = 28;

interface UdpOptions {
  readonly port: number;
  readonly strictSource: boolean;
  readonly engine: EngineKind;
  /**
   * Let the outer header carry the inner ECN bits (RFC 6040). Then a router on the way marks packets instead of dropping
   * them, and the receiving end has to bring the mark back to the inner header, or the sender never slows down. flanneld
   * and the dgram engine do not: only for a cluster where every host runs the native engine.
   */
  readonly ecn: boolean;
}

/** Packets travel as the payload of UDP datagrams, moved by a data plane process between a TUN device and a socket. */
export const udp: BackendKind = {
  type: 'udp',
  families: [4],
  check: (options: Document) => {
    const problems: Problem[] = [];
    const port = options.integer('Port', problems, 1, 65_535) ?? DEFAULT_PORT;
    const strictSource = options.boolean('StrictSource', problems) ?? true;
    const engine = options.parsed('Engine', problems, parseEngine) ?? 'native';
    const ecn = options.boolean('ECN', problems) ?? false;
    if (ecn && engine === 'dgram') {
      problems.push({ key: 'Backend.ECN', value: true, rule: 'has to be false with the dgram engine' });
    }
    return {
      value:
        problems.length === 0
          ? { open: (context) => openUdp({ port, strictSource, engine, ecn }, context) }
          : undefined,
      problems,
      unknownKeys: options.keysBut(['Type', 'Port', 'StrictSource', 'Engine', 'ECN']),
    };
  },
};

const ECN_LOST =
  'the network config says Backend.ECN true, and the dgram engine of this host (--datapath-engine) does not bring ' +
  'congestion marks in: senders of other hosts will not slow down. Use the native engine, or set Backend.ECN to false';

function parseEngine(text: string): EngineKind {
  const engine = ENGINES.find((name) => name === text.toLowerCase());
  if (engine === undefined) throw new CorduroyError('malformed', `has to be one of ${ENGINES.join(', ')}`);
  return engine;
}

function openUdp(options: UdpOptions, { iface, names: { tun }, datapath }: BackendContext): Backend {
  const { v4 } = iface;
  if (v4 === undefined) throw new CorduroyError('no-interface', `${iface.name} has no IPv4 address`);
  const { port, strictSource } = options;
  const mtu = iface.mtu - OVERHEAD;
  const engine = datapath.engine ?? options.engine;
  const isNative = engine === 'native';
  const queues = isNative ? datapath.queues : 1;
  const routesTo = routesByLease(port);
  const desired = ({ ranges, subnets, peers }: BackendInput): BackendState => ({
    host: {
      links: [{ name: tun, kind: 'tun', mtu, queues, addresses: subnets.map(hostAddress) }],
      routes: ranges.map(({ network }) => ({ type: 'unicast', prefix: network, device: tun })),
      sysctls: [
        { path: `net/ipv4/conf/${tun}/forwarding`, value: '1' },
        // The engine answers for unreachable peers with this host's own address, see docs/decisions.md.
        { path: `net/ipv4/conf/${tun}/accept_local`, value: '1' },
        // Else the kernel sends router solicitations into the tunnel.
        { path: `net/ipv6/conf/${tun}/disable_ipv6`, value: '1', optional: true },
      ],
    },
    datapath: {
      engine,
      config: {
        tunName: tun,
        mtu,
        listen: { address: v4.address, port },
        icmpSources: subnets.map(({ address }) => address),
        strictSource,
        offload: datapath.offload,
        ecn: isNative && options.ecn,
        queues,
      },
      local: subnets,
      routes: routesTo(peers),
    },
  });
  const attributes = { publicIp: v4.publicIp, publicIpv6: undefined };
  const warnings = [
    ...(options.ecn && !isNative ? [ECN_LOST] : []),
    ...(datapath.queues > 1 && !isNative
      ? ['the dgram engine has one queue: --datapath-queues has no effect']
      : []),
  ];
  const capabilities = [`engine-${engine}`, ...(isNative ? ['ecn'] : [])];
  const objectionTo = () => undefined; // As in flannel, every lease is a route, whatever its BackendType.
  return {
    type: 'udp',
    mtu,
    attributes,
    capabilities,
    desired,
    warnings,
    objectionTo,
    isDirect: () => false,
  };
}

/**
 * Computes the routes to peers: as in flannel, every lease is one, whatever its BackendType. Those of a lease that was
 * there the last time, in the same place, are the same objects: whoever compares tables sees at once what has changed.
 */
function routesByLease(port: number): (peers: readonly StoredLease[]) => Route[] {
  let lastPeers: readonly StoredLease[] = [];
  let lastRoutes: readonly (readonly Route[])[] = [];
  const routesOf = ({ subnets, attributes: { publicIp: address } }: StoredLease): Route[] =>
    address === undefined ? [] : subnets.map((prefix) => ({ prefix, peer: { address, port } }));
  return (peers) => {
    const routes = peers.map((peer, at) => {
      const known = peer === lastPeers[at] ? lastRoutes[at] : undefined;
      return known ?? routesOf(peer);
    });
    lastPeers = peers;
    lastRoutes = routes;
    const all: Route[] = [];
    for (const one of routes) all.push(...one);
    return all;
  };
}

/** The subnet's first address, as a host address: flannel's convention for tunnel devices. */
function hostAddress({ address }: { readonly address: Ip }) {
  return { ip: address, length: address.family === 4 ? 32 : 128 };
}
