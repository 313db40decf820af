import { type DockerSettings, dockerSettingsIn } from '../../../../src/bridge/docker/settings.ts';
import type { SubnetEnv } from '../../../../src/bridge/subnet-env.ts';
import { Prefix } from '../../../../src/net/prefix.ts';

/** @param bip as in subnet.env */
export function requireSettings(bip: string, mtu = 1472): DockerSettings {
  const settings = dockerSettingsIn(`FLANNEL_SUBNET=${bip}\nFLANNEL_MTU=${mtu}\nFLANNEL_IPMASQ=true\n`);
  if (settings === undefined) throw new Error(`${bip} is no address of a bridge`);
  return settings;
}

export function subnetEnv(subnet: string, mtu = 1472): SubnetEnv {
  const families = [{ network: Prefix.parse('10.5.0.0/16'), subnet: Prefix.parse(subnet) }];
  return { families, mtu, ipMasq: true };
}
