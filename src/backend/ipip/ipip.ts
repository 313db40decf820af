import type { Problem } from '../../config/document.ts';
import type { RouteState } from '../../host/state.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Backend, BackendContext, BackendInput, BackendKind, BackendState } from '../backend.ts';
import { deviceSysctls, underlaySysctls } from '../device-sysctls.ts';
import { directGateway, isBroadcast } from '../direct-routes.ts';
import { otherType } from '../other-type.ts';
import { publicAddresses, requireOuter, tunnelAddress } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';

const TYPE = 'ipip';
/** Bytes of the outer IPv4 header: there is nothing else (RFC 2003). */
const OVERHEAD = 20;

/** IPv4 in IPv4, by the kernel: one device for all peers, and the gateway of a route is where the outer packet goes. */
export const ipip: BackendKind = {
  type: TYPE,
  families: [4],
  check: (options) => {
    const problems: Problem[] = [];
    const directRouting = options.boolean('DirectRouting', problems) ?? false;
    return {
      value: problems.length === 0 ? { open: (context) => openIpip(directRouting, context) } : undefined,
      problems,
      unknownKeys: options.keysBut(['Type', 'DirectRouting']),
    };
  },
};

function openIpip(directRouting: boolean, { iface, families, names }: BackendContext): Backend {
  const name = names.ipip;
  const mtu = iface.mtu - OVERHEAD;
  const local = requireOuter(iface, 4).address;
  const isDirect = ({ attributes }: StoredLease) =>
    directRouting && directGateway(attributes, iface, 4) !== undefined;

  const routesTo = perLease((peer): RouteState[] => {
    const gateway = peer.attributes.publicIp;
    if (gateway === undefined || iface.onLink.some((network) => isBroadcast(network, gateway))) return [];
    const way = isDirect(peer)
      ? ({ device: iface.name, gateway } as const)
      : ({ device: name, gateway, onlink: true } as const);
    return peer.subnets.map((prefix) => ({ type: 'unicast', prefix, ...way }));
  });

  const desired = ({ subnets, peers }: BackendInput): BackendState => {
    const routes = peers.flatMap(routesTo);
    return {
      host: {
        links: [
          { name, kind: 'ipip', mtu, local, device: iface.name, addresses: subnets.map(tunnelAddress) },
        ],
        routes,
        sysctls: [...deviceSysctls(name, families), ...underlaySysctls(iface.name, routes)],
      },
    };
  };
  return {
    type: TYPE,
    mtu,
    attributes: { ...publicAddresses(iface, families), backendType: TYPE },
    capabilities: [],
    warnings: [],
    objectionTo: (lease) =>
      otherType(lease.attributes, TYPE) ??
      (routesTo(lease).length > 0 ? undefined : noGateway(lease.attributes, iface.name)),
    isDirect,
    desired,
  };
}

function noGateway({ publicIp }: StoredLease['attributes'], name: string): string {
  if (publicIp === undefined) return 'it has no IPv4 address to send to';
  return `its public address ${publicIp} is the first or the broadcast address of the link of ${name}, and no host's`;
}
