import { parseObject } from '../../config/edit-config-file.ts';
import { setMembers } from './json-text.ts';
import { bridgeAddressOf, type DockerSettings } from './settings.ts';

/** What of dockerd's configuration file follows the lease. */
export function leaseKeys(settings: DockerSettings): Readonly<Record<string, unknown>> {
  return { bip: bridgeAddressOf(settings), mtu: settings.mtu, 'ip-masq': settings.masquerade };
}

/** Lets packets that come in by another interface than the bridge's reach containers: dockerd 28.2 and newer. */
export const DIRECT_ROUTING = 'allow-direct-routing';

/** Keys that contradict a bridge address of ours: dockerd does not start, or gives containers other addresses. */
const CONTRADICTIONS = ['bridge', 'fixed-cidr', 'default-gateway'] as const;
/** Options that the drop-in gives on the command line: dockerd does not start when its file has them, too. */
const OPTIONS = ['bip', 'mtu', 'ip-masq', DIRECT_ROUTING] as const;

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

/** Which keys of the file leave no room for a bridge address of ours. */
export function contradictingKeys(document: Readonly<Record<string, unknown>>): string[] {
  return CONTRADICTIONS.filter((key) => key in document);
}

/** Which of the options that the drop-in gives are in the file already. */
export function optionsInFile(document: Readonly<Record<string, unknown>>): string[] {
  return OPTIONS.filter((key) => key in document);
}
