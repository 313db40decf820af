import type { ExternalInterface } from '../../host/state.ts';
import { outerAddress } from '../../host/state.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Family } from '../../net/ip.ts';
import type { Backend, BackendContext, BackendInput, BackendKind, BackendState } from '../backend.ts';
import { underlaySysctls } from '../device-sysctls.ts';
import { directGateway, directRoutes, publicAddress } from '../direct-routes.ts';
import { otherType } from '../other-type.ts';
import { publicAddresses } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';

const TYPE = 'host-gw';

/** No encapsulation: a peer is the gateway to its subnet, so it has to be on this host's link. */
export const hostGw: BackendKind = {
  type: TYPE,
  families: [4, 6],
  check: (options) => ({
    value: { open: openHostGw },
    problems: [],
    unknownKeys: options.keysBut(['Type']),
  }),
};

function openHostGw({ iface, families }: BackendContext): Backend {
  const routesTo = perLease((peer) => directRoutes(peer, iface));
  const desired = ({ peers }: BackendInput): BackendState => {
    const routes = peers.flatMap(routesTo);
    return { host: { links: [], routes, sysctls: underlaySysctls(iface.name, routes) } };
  };
  return {
    type: TYPE,
    mtu: iface.mtu,
    attributes: { ...publicAddresses(iface, families), backendType: TYPE },
    capabilities: [],
    warnings: families.flatMap((family) => natWarning(iface, family)),
    objectionTo: (lease) =>
      otherType(lease.attributes, TYPE) ??
      (routesTo(lease).length > 0 ? undefined : objectionsTo(lease, iface).join('; ')),
    gapIn: (peer) =>
      routesTo(peer).length === peer.subnets.length ? undefined : objectionsTo(peer, iface).join('; '),
    isDirect: () => true,
    desired,
  };
}

function objectionsTo({ subnets, attributes }: StoredLease, iface: ExternalInterface): string[] {
  return subnets.flatMap(({ family }) => {
    if (directGateway(attributes, iface, family) !== undefined) return [];
    const address = publicAddress(attributes, family);
    if (address === undefined) return `it has no IPv${family} address to send to`;
    const onLink = iface.onLink.filter((network) => network.family === family).join(', ');
    return (
      `its public address ${address} is not on the link of ${iface.name} (${onLink || `no IPv${family} network`}), and ` +
      'host-gw reaches no other hosts: vxlan, udp or ipip with DirectRouting do, and encapsulate for those alone'
    );
  });
}

/** Flannel refuses to start here; but another address of this host, on the same link, is just as good. */
function natWarning(iface: ExternalInterface, family: Family): string[] {
  const outer = outerAddress(iface, family);
  if (outer === undefined || outer.publicIp.equals(outer.address)) return [];
  return [
    `the host-gw backend needs hosts on one link, and this one's public address ${outer.publicIp} is not that of ` +
      `${iface.name}, ${outer.address}: behind a NAT no other host can route to it. Leave ` +
      `--public-ip${family === 4 ? '' : 'v6'} away, or use vxlan`,
  ];
}
