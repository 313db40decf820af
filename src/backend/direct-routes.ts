import type { ExternalInterface, RouteState } from '../host/state.ts';
import type { LeaseAttributes } from '../lease/lease-record.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

/** Routes that lead to a peer's subnets plainly: by its public address, where that is on this host's link. */
export function directRoutes(
  { subnets, attributes }: StoredLease,
  iface: ExternalInterface,
): (RouteState & { readonly type: 'unicast' })[] {
  return subnets.flatMap((prefix) => {
    const gateway = directGateway(attributes, iface, prefix.family);
    return gateway === undefined ? [] : [{ type: 'unicast', prefix, device: iface.name, gateway }];
  });
}

/** A peer's public address of a family, if this host reaches it without a gateway in between. */
export function directGateway(
  attributes: LeaseAttributes,
  { onLink }: ExternalInterface,
  family: Family,
): Ip | undefined {
  const address = publicAddress(attributes, family);
  if (address === undefined || !onLink.some((network) => network.contains(address))) return undefined;
  return onLink.some((network) => isBroadcast(network, address)) ? undefined : address;
}

export function publicAddress({ publicIp, publicIpv6 }: LeaseAttributes, family: Family): Ip | undefined {
  return family === 4 ? publicIp : publicIpv6;
}

/**
 * The kernel takes no broadcast address of this host's for a gateway, by whatever device; the first address of a network
 * was one, too, up to Linux 5.13.
 */
export function isBroadcast(network: Prefix, address: Ip): boolean {
  if (network.family === 6 || network.length >= 31) return false;
  return address.equals(network.address) || address.equals(network.last);
}
