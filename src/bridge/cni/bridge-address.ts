import { CorduroyError } from '../../errors.ts';
import { addressesOf, readLinks } from '../../host/observe.ts';
import { formatInterfaceAddress, type InterfaceAddress } from '../../host/state.ts';
import type { Prefix } from '../../net/prefix.ts';
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
 * none away. Of IPv4 addresses it looks at the first.
 */
export function staleAddress(
  addresses: readonly InterfaceAddress[],
  subnets: readonly Prefix[],
): InterfaceAddress | undefined {
  const subnet = subnets.find(({ family }) => family === 4);
  const first = addresses.find(({ ip }) => ip.family === 4);
  if (subnet === undefined || first === undefined) return undefined;
  const isRight = first.length === subnet.length && first.ip.equals(gateway(subnet));
  return isRight ? undefined : first;
}

/**
 * A bridge that has an address of its own serves something else: a hypervisor's has the host's.
 * @throws CorduroyError `foreign-object` when the first IPv4 address is of none of the networks
 */
export function requireNotForeign(
  { bridge, commandSuffix }: Pick<CniSettings, 'bridge' | 'commandSuffix'>,
  addresses: readonly InterfaceAddress[],
  networks: readonly Prefix[],
): void {
  const first = addresses.find(({ ip }) => ip.family === 4);
  if (first === undefined || networks.some((network) => network.contains(first.ip))) return;
  throw new CorduroyError(
    'foreign-object',
    `the bridge ${bridge} has ${formatInterfaceAddress(first)}, which is not of the network ${networks.join(' and ')}: no ` +
      `container of it can be started there. Name another: corduroy cni install --cni-bridge NAME${commandSuffix} (or take ` +
      'the address away, if it is of an earlier network)',
  );
}
