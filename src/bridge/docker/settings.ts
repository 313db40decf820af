import type { Ip } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import { gateway, parseEnv, type SubnetEnv, subnetsIn } from '../subnet-env.ts';

/** What the bridge of Docker's containers should have on this host. */
export interface DockerSettings {
  readonly subnet: Prefix;
  /** The bridge's address, the subnet's first. */
  readonly gateway: Ip;
  /** Bytes. */
  readonly mtu: number;
  /** Whether Docker masquerades: exactly when Corduroy does not. */
  readonly masquerade: boolean;
}

/** @returns `undefined` for a host without an IPv4 subnet */
export function dockerSettings({ families, mtu, ipMasq }: SubnetEnv): DockerSettings | undefined {
  const subnet = families.map((family) => family.subnet).find(({ family }) => family === 4);
  if (subnet === undefined) return undefined;
  return { subnet, gateway: gateway(subnet), mtu, masquerade: !ipMasq };
}

/** The same, from the text of a subnet.env; `undefined` when it is not one. */
export function dockerSettingsIn(text: string): DockerSettings | undefined {
  const variables = parseEnv(text);
  const subnet = subnetsIn(text).find(({ family }) => family === 4);
  const mtu = Number(variables.get('FLANNEL_MTU'));
  if (subnet === undefined || !Number.isInteger(mtu)) return undefined;
  const masquerade = variables.get('FLANNEL_IPMASQ') !== 'true';
  return { subnet, gateway: gateway(subnet), mtu, masquerade };
}

/** Of `--bip`, and as `ip` shows it: the bridge's address with the subnet's length. */
export function bridgeAddressOf({ gateway: address, subnet }: DockerSettings): string {
  return `${address}/${subnet.length}`;
}
