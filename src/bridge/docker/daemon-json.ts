import { parseObject } from '../../config/edit-config-file.ts';
import { setMembers } from './json-text.ts';
import { bridgeAddress, type DockerSettings, subnetOf } from './settings.ts';

/** What of dockerd's configuration file follows the lease. */
export function leaseKeys(settings: DockerSettings): Readonly<Record<string, unknown>> {
  const [v4, v6] = [subnetOf(settings, 4), subnetOf(settings, 6)];
  return {
    ...(v4 && { bip: bridgeAddress(v4) }),
    mtu: settings.mtu,
    'ip-masq': settings.masquerade,
    // The bridge's address is the first of them.
    ...(v6 && { ipv6: true, 'fixed-cidr-v6': v6.toString() }),
  };
}

/** All that ever does: the families of a network may change. */
export const LEASE_KEYS = ['bip', 'mtu', 'ip-masq', 'ipv6', 'fixed-cidr-v6'] as const;

/** Lets packets that come in by another interface than the bridge's reach containers: dockerd 28.2 and newer. */
export const DIRECT_ROUTING = 'allow-direct-routing';

/** Keys that contradict a bridge address of ours: dockerd does not start, or gives containers other addresses. */
const CONTRADICTIONS = ['bridge', 'fixed-cidr', 'default-gateway'] as const;
const CONTRADICTIONS_IPV6 = ['bip6', 'default-gateway-v6'] as const;
/** Options that the drop-in gives on the command line: dockerd does not start when its file has them, too. */
const OPTIONS = ['bip', 'mtu', 'ip-masq', DIRECT_ROUTING] as const;
const OPTIONS_IPV6 = ['ipv6', 'fixed-cidr-v6'] as const;

/**
 * The file with some keys set, every other one as it was.
 *
 * @param changes by key; `undefined` removes one
 * @throws CorduroyError `usage` when it holds no JSON object
 */
export function mergeDaemonJson(
  text: string | undefined,
  path: string,
  changes: Readonly<Record<string, unknown>>,
): string {
  parseObject(text, path);
  return setMembers(text === undefined || text.trim() === '' ? '{}\n' : text, changes);
}

/** Which keys of the file leave no room for a bridge address of ours. @param hasIpv6 whether this host's lease has it */
export function contradictingKeys(document: Readonly<Record<string, unknown>>, hasIpv6: boolean): string[] {
  return [...CONTRADICTIONS, ...(hasIpv6 ? CONTRADICTIONS_IPV6 : [])].filter((key) => key in document);
}

/** Which of the options that the drop-in gives are in the file already. */
export function optionsInFile(document: Readonly<Record<string, unknown>>, hasIpv6: boolean): string[] {
  return [...OPTIONS, ...(hasIpv6 ? OPTIONS_IPV6 : [])].filter((key) => key in document);
}
