import type { HostState, Port } from '../host/state.ts';
import type { Prefix } from '../net/prefix.ts';
import { gateway } from './subnet-env.ts';

/**
 * The bridge of `--bridge NAME`: the subnet's first address, the overlay's MTU, forwarding on.
 * @param ports what was attached to it, if somebody deletes it
 */
export function bridgeState(
  name: string,
  subnets: readonly Prefix[],
  mtu: number,
  ports: readonly Port[] = [],
): HostState {
  const addresses = subnets.map((subnet) => ({ ip: gateway(subnet), length: subnet.length }));
  const mac = macOf(subnets);
  return {
    links: [{ name, kind: 'bridge', mtu, addresses, ports, ...(mac === undefined ? {} : { mac }) }],
    routes: [],
    sysctls: [{ path: `net/ipv4/conf/${name}/forwarding`, value: '1' }],
  };
}

/**
 * A hardware address made of the gateway's IPv4 address (locally administered, 02:cd): a bridge without one takes the
 * lowest of its ports', so that it changes under the containers' neighbour caches.
 */
function macOf(subnets: readonly Prefix[]): string | undefined {
  const subnet = subnets.find(({ family }) => family === 4);
  if (subnet === undefined) return undefined;
  return [0x02, 0xcd, ...gateway(subnet).toBytes()]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(':');
}
