import type { RouteState, VxlanLink, VxlanRemote } from '../../host/state.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Family } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Backend, BackendContext, BackendInput, BackendKind, BackendState } from '../backend.ts';
import { DATA_KEYS } from '../backend-data.ts';
import { deviceSysctls, underlaySysctls } from '../device-sysctls.ts';
import { directGateway, publicAddress } from '../direct-routes.ts';
import { innerMtu, mtuWarnings } from '../inner-mtu.ts';
import { otherType } from '../other-type.ts';
import { publicAddresses, requireOuter, tunnelAddress } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';
import { OVERHEAD, parseVxlanOptions, type VxlanOptions } from './options.ts';
import { txChecksumFor } from './tx-checksum.ts';
import { formatVtep, ownMac, peerMac } from './vtep.ts';

const TYPE = 'vxlan';

/**
 * The kernel carries packets as Ethernet frames in UDP. There is one device a family, and nothing is asked or learned:
 * a peer's first address is the gateway to its subnet, a neighbour entry says which MAC that gateway has, and an FDB entry
 * behind which outer address the MAC is.
 */
export const vxlan: BackendKind = {
  type: TYPE,
  families: [4, 6],
  check: (options, families) => {
    const { value, ...checked } = parseVxlanOptions(options, families);
    return { ...checked, value: value && { open: (context) => openVxlan(value, context) } };
  },
};

/** What leads to one subnet of a peer. */
type Way =
  | {
      readonly kind: 'tunnel';
      readonly mac: string;
      readonly remote: VxlanRemote;
      readonly route: RouteState;
    }
  | { readonly kind: 'direct'; readonly mac: string; readonly route: RouteState }
  | { readonly kind: 'none'; readonly objection: string };

function openVxlan(options: VxlanOptions, context: BackendContext): Backend {
  const { iface, families } = context;
  const devices = new Map(families.map((family) => [family, deviceOf(options, context, family)]));

  const wayTo = (prefix: Prefix, { attributes }: StoredLease): Way => {
    const { family } = prefix;
    const device = devices.get(family);
    if (device === undefined) return { kind: 'none', objection: `the network has no IPv${family}` };
    const found = peerMac(attributes, { ...device, family });
    if ('objection' in found) return { kind: 'none', ...found };
    const destination = publicAddress(attributes, family);
    if (destination === undefined)
      return { kind: 'none', objection: `it has no IPv${family} address to send to` };
    const { mac } = found;
    if (options.directRouting && directGateway(attributes, iface, family) !== undefined)
      return {
        kind: 'direct',
        mac,
        route: { type: 'unicast', prefix, device: iface.name, gateway: destination },
      };
    const gateway = prefix.address;
    return {
      kind: 'tunnel',
      mac,
      remote: { ip: gateway, mac, destination },
      route: { type: 'unicast', prefix, device: device.name, gateway, onlink: true },
    };
  };
  const waysTo = perLease((peer) => peer.subnets.map((prefix) => wayTo(prefix, peer)));
  const verdictOn = perLease((peer) => ({
    objections: waysTo(peer).flatMap((way) => (way.kind === 'none' ? [way.objection] : [])),
    claims: waysTo(peer).flatMap((way) =>
      way.kind === 'none'
        ? []
        : [`VtepMAC ${way.mac} in ${DATA_KEYS[way.route.prefix.family]}`, ...gatewayOf(way)],
    ),
  }));

  const desired = ({ subnets, peers }: BackendInput): BackendState => {
    const routes: RouteState[] = [];
    const remotes: Record<Family, VxlanRemote[]> = { 4: [], 6: [] };
    for (const peer of peers) {
      for (const way of waysTo(peer)) {
        if (way.kind === 'none') continue;
        routes.push(way.route);
        if (way.kind === 'tunnel') remotes[way.remote.ip.family].push(way.remote);
      }
    }
    const links = [...devices].map(([family, device]) => ({
      ...device,
      addresses: subnets.filter((subnet) => subnet.family === family).map(tunnelAddress),
      remotes: remotes[family],
    }));
    const sysctls = [...devices].flatMap(([family, { name }]) => deviceSysctls(name, [family]));
    return {
      host: { links, routes, sysctls: [...sysctls, ...underlaySysctls(iface.name, routes)] },
    };
  };

  const dataOf = (family: Family) => {
    const device = devices.get(family);
    return device && formatVtep(options.vni, device.mac);
  };
  const [backendData, backendV6Data] = [dataOf(4), dataOf(6)];
  return {
    type: TYPE,
    mtu: Math.min(...[...devices.values()].map(({ mtu }) => mtu)),
    attributes: {
      ...publicAddresses(iface, families),
      backendType: TYPE,
      ...(backendData && { backendData }),
      ...(backendV6Data && { backendV6Data }),
    },
    capabilities: [],
    warnings: mtuWarnings(options.mtu, iface),
    objectionTo: (lease) => {
      const { objections } = verdictOn(lease);
      return (
        otherType(lease.attributes, TYPE) ??
        (objections.length === lease.subnets.length ? objections.join('; ') : undefined)
      );
    },
    gapIn: (peer) => verdictOn(peer).objections[0],
    claimsOf: (lease) => verdictOn(lease).claims,
    isDirect: (peer) => waysTo(peer).every(({ kind }) => kind === 'direct'),
    desired,
  };
}

/** Subnets that overlap have one first address, and the device has one neighbour entry for it. */
function gatewayOf(way: Way): string[] {
  return way.kind === 'tunnel' ? [`first address ${way.remote.ip}`] : [];
}

/** The device of a family, with what does not depend on leases. */
function deviceOf(
  { vni, port, mtu, learning, gbp, txChecksum }: VxlanOptions,
  { iface, names, nodeId, kernel }: BackendContext,
  family: Family,
): Omit<VxlanLink, 'addresses' | 'remotes'> {
  const offload = txChecksumFor(txChecksum, kernel);
  return {
    name: names.vxlan(vni, family),
    kind: 'vxlan',
    mtu: innerMtu(mtu, iface, OVERHEAD[family]),
    mac: ownMac(nodeId, vni, family),
    vni,
    port,
    local: requireOuter(iface, family).address,
    device: iface.name,
    learning,
    gbp,
    ...(offload !== undefined && { txChecksum: offload, txChecksumOptional: txChecksum === 'auto' }),
  };
}
