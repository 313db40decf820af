import { type Names, ROUTE_PROTOCOL } from '../config/names.ts';
import type { Ownership } from '../host/ownership.ts';
import type { Prefix } from '../net/prefix.ts';

/** @param networks of the overlay, now and before, as far as routes to them may be left */
export function ownershipOf({ linkMark, devices }: Names, networks: readonly Prefix[]): Ownership {
  const names = new Set([devices.tun, devices.wireguard, devices.wireguard6]);
  return { mark: linkMark, names, protocol: ROUTE_PROTOCOL, networks };
}
