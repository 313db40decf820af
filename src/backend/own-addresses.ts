import { CorduroyError } from '../errors.ts';
import {
  type ExternalInterface,
  type InterfaceAddress,
  type OuterAddress,
  outerAddress,
} from '../host/state.ts';
import type { LeaseAttributes } from '../lease/lease-record.ts';
import { ADDRESS_BITS, type Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

/**
 * What the lease says of where this host is: an address for each family of the network.
 * @throws CorduroyError `no-interface`
 */
export function publicAddresses(
  iface: ExternalInterface,
  families: readonly Family[],
): Pick<LeaseAttributes, 'publicIp' | 'publicIpv6'> {
  const of = (family: Family) =>
    families.includes(family) ? requireOuter(iface, family).publicIp : undefined;
  return { publicIp: of(4), publicIpv6: of(6) };
}

/** @throws CorduroyError `no-interface` */
export function requireOuter(iface: ExternalInterface, family: Family): OuterAddress {
  const outer = outerAddress(iface, family);
  if (outer === undefined) {
    throw new CorduroyError(
      'no-interface',
      `${iface.name} has no IPv${family} address, and the network needs one: give it one, or choose another ` +
        'interface with --iface',
    );
  }
  return outer;
}

/**
 * A tunnel device's address: the first one of the subnet, alone. It is flannel's convention: a source for what the host
 * itself sends to containers, and no route or broadcast address comes with it.
 */
export function tunnelAddress({ address }: Prefix): InterfaceAddress {
  return { ip: address, length: ADDRESS_BITS[address.family] };
}
