import type { Route } from '../../datapath/datapath.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Family } from '../../net/ip.ts';
import type { Backend, BackendContext, BackendInput, BackendKind, BackendState } from '../backend.ts';
import { deviceSysctls, underlaySysctls } from '../device-sysctls.ts';
import { directRoutes, publicAddress } from '../direct-routes.ts';
import { publicAddresses, requireOuter, tunnelAddress } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';
import { parseUdpOptions, type UdpOptions } from './options.ts';

/** Bytes of the outer IP and UDP headers: the packet itself is the payload. */
const OVERHEAD: Readonly<Record<Family, number>> = { 4: 28, 6: 48 };

/**
 * In a host's record: it takes packets that peers on its link send plainly. Their sources are routed into the tunnel on a
 * host that does not do the same, flanneld's for one, and a strict rp_filter drops them there.
 */
const TAKES_PLAIN = 'direct';

const ECN_LOST =
  'the network config says Backend.ECN true, and the dgram engine of this host (--datapath-engine) does not bring ' +
  'congestion marks in: senders of other hosts will not slow down. Use the native engine, or set Backend.ECN to false';

/** Packets travel as the payload of UDP datagrams, moved by a data plane process between a TUN device and a socket. */
export const udp: BackendKind = {
  type: 'udp',
  families: [4, 6],
  check: (options) => {
    const { value, ...checked } = parseUdpOptions(options);
    return { ...checked, value: value && { open: (context) => openUdp(value, context) } };
  },
};

function openUdp(options: UdpOptions, context: BackendContext): Backend {
  const { iface, families, names, datapath } = context;
  const { port, strictSource, directRouting } = options;
  const { tun } = names;
  // Both families inside one tunnel. flanneld knows no outer address but IPv4, so that wins where the network has it.
  const outerFamily = families.includes(4) ? 4 : 6;
  const outer = requireOuter(iface, outerFamily);
  const mtu = iface.mtu - OVERHEAD[outerFamily];
  const engine = datapath.engine ?? options.engine;
  const isNative = engine === 'native';
  const queues = isNative ? datapath.queues : 1;
  // Of a lease that stays as it is, the same objects: whoever compares tables sees at once what has changed.
  const tunnelsTo = perLease(({ subnets, attributes }): Route[] => {
    const address = publicAddress(attributes, outerFamily);
    return address === undefined ? [] : subnets.map((prefix) => ({ prefix, peer: { address, port } }));
  });
  const plainRoutesTo = (peer: StoredLease, capabilities: readonly string[]) =>
    directRouting && capabilities.includes(TAKES_PLAIN) ? directRoutes(peer, iface) : [];

  const desired = ({ ranges, subnets, peers, capabilitiesOf }: BackendInput): BackendState => {
    const plain = directRouting ? peers.flatMap((peer) => plainRoutesTo(peer, capabilitiesOf(peer))) : [];
    return {
      host: {
        links: [{ name: tun, kind: 'tun', mtu, queues, addresses: subnets.map(tunnelAddress) }],
        routes: [
          ...ranges.map(({ network }) => ({ type: 'unicast', prefix: network, device: tun }) as const),
          ...plain,
        ],
        sysctls: [
          ...deviceSysctls(tun, families),
          // The engine answers for unreachable peers with this host's own address, see docs/decisions.md.
          ...(outerFamily === 4 ? [{ path: `net/ipv4/conf/${tun}/accept_local`, value: '1' }] : []),
          ...underlaySysctls(iface.name, plain),
        ],
      },
      datapath: {
        engine,
        config: {
          tunName: tun,
          mtu,
          listen: { address: outer.address, port },
          icmpSources: subnets.map(({ address }) => address),
          strictSource,
          offload: datapath.offload,
          ecn: isNative && options.ecn,
          queues,
        },
        local: subnets,
        // With those that are sent to plainly: they may send through the tunnel until they have heard of this host.
        routes: peers.flatMap(tunnelsTo),
      },
    };
  };

  return {
    type: 'udp',
    mtu,
    attributes: publicAddresses(iface, families),
    capabilities: [`engine-${engine}`, ...(isNative ? ['ecn'] : []), ...(directRouting ? [TAKES_PLAIN] : [])],
    warnings: [
      ...(options.ecn && !isNative ? [ECN_LOST] : []),
      ...(datapath.queues > 1 && !isNative
        ? ['the dgram engine has one queue: --datapath-queues has no effect']
        : []),
    ],
    // As in flannel, every lease is a route, whatever its BackendType.
    objectionTo: ({ attributes }) =>
      publicAddress(attributes, outerFamily) === undefined
        ? `it names no IPv${outerFamily} address (${outerFamily === 4 ? 'PublicIP' : 'PublicIPv6'}), and the tunnel leads from one to another`
        : undefined,
    isDirect: (peer, capabilities) => plainRoutesTo(peer, capabilities).length === peer.subnets.length,
    desired,
  };
}
