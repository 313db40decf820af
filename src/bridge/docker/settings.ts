import type { Family } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import { gateway, parseEnv, type SubnetEnv, subnetsIn } from '../subnet-env.ts';

/** What the bridge of Docker's containers should have on this host. */
export interface DockerSettings {
  /** This host's, IPv4 first, one at least. */
  readonly subnets: readonly Prefix[];
  /** Bytes. */
  readonly mtu: number;
  /** Whether Docker masquerades: exactly when Corduroy does not. */
  readonly masquerade: boolean;
}

/** @returns `undefined` for a host without a subnet */
export function dockerSettings({ families, mtu, ipMasq }: SubnetEnv): DockerSettings | undefined {
  const subnets = families.map(({ subnet }) => subnet);
  return subnets.length === 0 ? undefined : { subnets, mtu, masquerade: !ipMasq };
}

/** The same, from the text of a subnet.env; `undefined` when it is not one. */
export function dockerSettingsIn(text: string): DockerSettings | undefined {
  const variables = parseEnv(text);
  const subnets = subnetsIn(text);
  const mtu = Number(variables.get('FLANNEL_MTU'));
  if (subnets.length === 0 || !variables.has('FLANNEL_MTU') || !Number.isInteger(mtu)) return undefined;
  return { subnets, mtu, masquerade: variables.get('FLANNEL_IPMASQ') !== 'true' };
}

export function subnetOf({ subnets }: DockerSettings, family: Family): Prefix | undefined {
  return subnets.find((subnet) => subnet.family === family);
}

/** The bridge's address with the subnet's length: that of `--bip`, and as `ip` shows it. */
export function bridgeAddress(subnet: Prefix): string {
  return `${gateway(subnet)}/${subnet.length}`;
}

/** All that the bridge should have. */
export function bridgeAddressesOf({ subnets }: DockerSettings): string[] {
  return subnets.map(bridgeAddress);
}
