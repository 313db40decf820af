import { CorduroyError } from '../../errors.ts';
import { addressesOf, readLinks } from '../../host/observe.ts';
import { formatInterfaceAddress, type InterfaceAddress } from '../../host/state.ts';
import { Prefix } from '../../net/prefix.ts';
import { gateway } from '../subnet-env.ts';
import type { CniSettings } from './settings.ts';

/** The addresses of a bridge, in the kernel's order; none where there is no such link. */
export type ReadAddresses = (bridge: string) => Promise<readonly InterfaceAddress[]>;

export const readAddresses: ReadAddresses = async (bridge) => {
  const link = (await readLinks()).find(({ ifname }) => ifname === bridge);
  return link === undefined ? [] : addressesOf(link);
};

/**
 * The address by which the bridge plugin refuses to start another container: it gives a bridge its address once, and takes
 * none away. Of IPv4 addresses it looks at the first, of IPv6 addresses at those whose network overlaps the subnet.
 */
export function staleAddress(
  addresses: readonly InterfaceAddress[],
  subnets: readonly Prefix[],
): InterfaceAddress | undefined {
  for (const subnet of subnets) {
    const looked =
      subnet.family === 4
        ? addresses.filter(({ ip }) => ip.family === 4).slice(0, 1)
        : addresses.filter(({ ip, length }) => Prefix.of(ip, length).overlaps(subnet));
    const isRight = ({ ip, length }: InterfaceAddress) =>
      length === subnet.length && ip.equals(gateway(subnet));
    const stale = looked.find((one) => !isRight(one));
    if (stale !== undefined) return stale;
  }
  return undefined;
}

/**
 * A bridge that has an address of its own serves something else: a hypervisor's has the host's.
 * @throws CorduroyError `foreign-object` when the first address of a network's family is not of that network
 */
export function requireNotForeign(
  { bridge, commandSuffix }: Pick<CniSettings, 'bridge' | 'commandSuffix'>,
  addresses: readonly InterfaceAddress[],
  networks: readonly Prefix[],
): void {
  const foreign = networks
    .map((network) => addresses.find(({ ip }) => ip.family === network.family))
    .find((first) => first !== undefined && !networks.some((network) => network.contains(first.ip)));
  if (foreign === undefined) return;
  throw new CorduroyError(
    'foreign-object',
    `the bridge ${bridge} has ${formatInterfaceAddress(foreign)}, which is not of the network ${networks.join(' and ')}: no ` +
      `container of it can be started there. Name another: corduroy cni install --cni-bridge NAME${commandSuffix} (or take ` +
      'the address away, if it is of an earlier network)',
  );
}
