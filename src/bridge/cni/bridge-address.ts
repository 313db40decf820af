import { addressesOf, readLinks } from '../../host/observe.ts';
import { formatInterfaceAddress, type InterfaceAddress } from '../../host/state.ts';
import type { Prefix } from '../../net/prefix.ts';
import { gateway } from '../subnet-env.ts';

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
): string | undefined {
  const subnet = subnets.find(({ family }) => family === 4);
  const first = addresses.find(({ ip }) => ip.family === 4);
  if (subnet === undefined || first === undefined) return undefined;
  const isRight = first.length === subnet.length && first.ip.equals(gateway(subnet));
  return isRight ? undefined : formatInterfaceAddress(first);
}
