import { type DockerSettings, dockerSettingsIn } from '../../../../src/bridge/docker/settings.ts';
import type { SubnetEnv } from '../../../../src/bridge/subnet-env.ts';
import { Prefix } from '../../../../src/net/prefix.ts';

/** @param bip as in subnet.env, of either family */
export function requireSettings(bip: string | undefined, bip6?: string): DockerSettings {
  const lines = [
    ...(bip === undefined ? [] : [`FLANNEL_SUBNET=${bip}`]),
    ...(bip6 === undefined ? [] : [`FLANNEL_IPV6_SUBNET=${bip6}`]),
    'FLANNEL_MTU=1472',
    'FLANNEL_IPMASQ=true',
  ];
  const settings = dockerSettingsIn(lines.join('\n'));
  if (settings === undefined) throw new Error(`${bip} and ${bip6} are no addresses of a bridge`);
  return settings;
}

export function subnetEnv(subnet: string, mtu = 1472): SubnetEnv {
  const families = [{ network: Prefix.parse('10.5.0.0/16'), subnet: Prefix.parse(subnet) }];
  return { families, mtu, ipMasq: true };
}
