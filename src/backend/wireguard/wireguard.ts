import { CorduroyError } from '../../errors.ts';
import type { RouteState, WireguardPeer } from '../../host/state.ts';
import type { StoredLease } from '../../lease/lease-table.ts';
import type { Family } from '../../net/ip.ts';
import type {
  Backend,
  BackendContext,
  BackendInput,
  BackendKind,
  BackendState,
  WireguardKey,
} from '../backend.ts';
import { DATA_KEYS, dataOf } from '../backend-data.ts';
import { deviceSysctls } from '../device-sysctls.ts';
import { publicAddress } from '../direct-routes.ts';
import { innerMtu, mtuWarnings } from '../inner-mtu.ts';
import { otherType } from '../other-type.ts';
import { publicAddresses, requireOuter, tunnelAddress } from '../own-addresses.ts';
import { perLease } from '../per-lease.ts';
import { formatPeerData, parsePeerData } from './lease-data.ts';
import { OVERHEAD, parseWireguardOptions, type WireguardOptions } from './options.ts';
import { outerFamily } from './outer-family.ts';

const TYPE = 'wireguard';
/** One for all devices, as flannel has it. */
const KEY_NAME = 'wireguard';

/**
 * Packets travel encrypted, by the kernel or wireguard-go; which peer gets a packet, its destination says (AllowedIPs).
 */
export const wireguard: BackendKind = {
  type: TYPE,
  families: [4, 6],
  check: (options, families) => {
    const { value, ...checked } = parseWireguardOptions(options, families);
    const open = value && ((context: BackendContext) => openWireguard(value, context));
    return { ...checked, value: open && { needs: { wireguardKeys: [KEY_NAME] }, open } };
  },
};

/** A device of this host. */
interface Tunnel {
  readonly name: string;
  /** That it carries. */
  readonly families: readonly Family[];
  /** UDP. */
  readonly port: number;
}

/** What leads to those subnets of a peer that a tunnel carries. */
type Way =
  | { readonly tunnel: string; readonly peer: WireguardPeer; readonly claim: string }
  | { readonly objection: string };

function openWireguard(options: WireguardOptions, context: BackendContext): Backend {
  const { iface, families, wireguardKeys } = context;
  const key = wireguardKeys.get(KEY_NAME);
  if (key === undefined) throw new CorduroyError('host-file', 'there is no WireGuard key of this host');
  for (const family of families) requireOuter(iface, family);
  const tunnels = tunnelsOf(options, context);
  const mtu = innerMtu(options.mtu, iface, OVERHEAD);
  const waysTo = perLease((peer) =>
    tunnels.flatMap((tunnel) => {
      const subnets = peer.subnets.filter(({ family }) => tunnel.families.includes(family));
      return subnets.length === 0 ? [] : [wayTo({ ...peer, subnets }, tunnel, options, context, key)];
    }),
  );

  const desired = ({ ranges, subnets, peers }: BackendInput): BackendState => {
    const found = new Map(tunnels.map(({ name }) => [name, new Map<string, WireguardPeer>()]));
    for (const peer of peers) {
      for (const way of waysTo(peer)) {
        if ('objection' in way) continue;
        const known = found.get(way.tunnel);
        if (!known?.has(way.peer.publicKey)) known?.set(way.peer.publicKey, way.peer);
      }
    }
    const links = tunnels.map(({ name, families, port }) => ({
      kind: 'wireguard' as const,
      name,
      mtu,
      ...key,
      port,
      addresses: subnets.filter(({ family }) => families.includes(family)).map(tunnelAddress),
      peers: [...(found.get(name)?.values() ?? [])],
    }));
    // As in flannel, the whole network: what is for nobody is answered here, and does not leave the host in the clear.
    const routes = ranges.flatMap(({ network: prefix }): RouteState[] => {
      const device = tunnels.find(({ families }) => families.includes(prefix.family))?.name;
      return device === undefined ? [] : [{ type: 'unicast', prefix, device }];
    });
    const sysctls = tunnels.flatMap(({ name, families }) => deviceSysctls(name, families));
    return { host: { links, routes, sysctls } };
  };

  const [backendData, backendV6Data] = ([4, 6] as const).map((family) => {
    const tunnel = tunnels.find(({ families }) => families.includes(family));
    return tunnel && formatPeerData(key.publicKey, tunnel.port);
  });
  return {
    type: TYPE,
    mtu,
    attributes: {
      ...publicAddresses(iface, families),
      backendType: TYPE,
      ...(backendData && { backendData }),
      ...(backendV6Data && { backendV6Data }),
    },
    capabilities: [],
    warnings: mtuWarnings(options.mtu, iface),
    objectionTo: (lease) => {
      const objections = objectionsIn(waysTo(lease));
      const isOther = otherType(lease.attributes, TYPE);
      // A peer is one as long as something of it can be reached.
      return isOther ?? (objections.length === waysTo(lease).length ? objections.join('; ') : undefined);
    },
    gapIn: (peer) => objectionsIn(waysTo(peer))[0],
    claimsOf: (lease) => waysTo(lease).flatMap((way) => ('objection' in way ? [] : [way.claim])),
    isDirect: () => false,
    desired,
  };
}

function tunnelsOf(
  { mode, port, portV6 }: WireguardOptions,
  { families, names }: BackendContext,
): readonly Tunnel[] {
  if (mode !== 'separate') return [{ name: names.wireguard, families, port }];
  return families.map((family) =>
    family === 4
      ? { name: names.wireguard, families: [4], port }
      : { name: names.wireguard6, families: [6], port: portV6 },
  );
}

/** @param peer with those of its subnets that the tunnel carries */
function wayTo(
  { subnets, attributes }: StoredLease,
  tunnel: Tunnel,
  { mode, presharedKey, keepalive }: WireguardOptions,
  { iface }: BackendContext,
  own: WireguardKey,
): Way {
  const [carried = 4] = tunnel.families;
  const family = mode === 'separate' ? carried : outerFamily(mode, attributes, iface);
  const address = publicAddress(attributes, family);
  if (address === undefined) return { objection: `it has no IPv${family} address to send to` };
  // One device says the same of itself twice.
  const described: Family =
    mode === 'separate' || dataOf(attributes, family) !== undefined ? family : carried;
  const data = parsePeerData(attributes, described);
  if ('objection' in data) return data;
  const { publicKey, port = tunnel.port } = data;
  if (publicKey === own.publicKey) {
    return {
      objection:
        `the PublicKey in its ${DATA_KEYS[described]} is this host's own: one of them is a copy of the other, and has to ` +
        'get another key: corduroy wireguard rotate',
    };
  }
  return {
    tunnel: tunnel.name,
    claim: `PublicKey ${publicKey} in ${DATA_KEYS[described]}`,
    peer: {
      publicKey,
      ...(presharedKey && { presharedKey }),
      endpoint: { address, port },
      allowedIps: subnets,
      keepalive,
    },
  };
}

function objectionsIn(ways: readonly Way[]): string[] {
  return ways.flatMap((way) => ('objection' in way ? [way.objection] : []));
}
