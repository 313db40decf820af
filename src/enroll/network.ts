import { checkBackend } from '../backend/registry.ts';
import {
  type NetworkConfig,
  networkConfigError,
  networkConfigKey,
  parseNetworkConfig,
} from '../config/network-config.ts';
import { CorduroyError } from '../errors.ts';
import { Ip } from '../net/ip.ts';
import type { Store } from '../store/store.ts';

/**
 * The network config of a new network.
 *
 * @param address of the first host
 * @throws CorduroyError `network-config` naming the rules that it breaks; `usage`: the host's own address is inside
 */
export function networkDocument(network: string, backend: string, address: string): string {
  const document = JSON.stringify({ Network: network, Backend: { Type: backend } });
  const config = usable(document, `the network config of --network ${network} --backend ${backend}`);
  if (config.ranges.some((range) => range.network.contains(Ip.parse(address)))) {
    throw new CorduroyError(
      'usage',
      `this host's address ${address} is inside --network ${network}, which is for containers: choose another range`,
    );
  }
  return document;
}

/**
 * Writes the network config, unless there is one.
 *
 * @param wanted the user has said which it shall be
 * @returns the networks that now stand there, in CIDR form
 */
export async function ensureNetwork(
  store: Store,
  prefix: string,
  document: string,
  wanted: boolean,
  say: (line: string) => void,
): Promise<string[]> {
  const key = networkConfigKey(prefix);
  const { succeeded } = await store.transaction(
    [{ key, is: 'absent' }],
    [{ do: 'put', key, value: document }],
  );
  const present = succeeded ? document : ((await store.get(key))?.value ?? '');
  const networks = usable(present, `the network config under ${key}`).ranges.map(({ network }) =>
    String(network),
  );
  if (wanted && present !== document) {
    say(
      `the network is ${networks.join(' ')} already, and stays; to change it: ` +
        'corduroy config set --config-file=/etc/corduroy/admin.json',
    );
  }
  return networks;
}

function usable(document: string, name: string): NetworkConfig {
  const { value, problems } = parseNetworkConfig(document);
  const all = value === undefined ? problems : [...problems, ...checkBackend(value).problems];
  if (value === undefined || all.length > 0) throw networkConfigError(name, all);
  return value;
}
