import { type HostState, ipv6Forwarding, type Port, type Sysctl } from '../host/state.ts';
import type { Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import { gateway } from './subnet-env.ts';

/**
 * The bridge of `--bridge NAME`: the subnets' first addresses, the overlay's MTU, forwarding on.
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
    sysctls: subnets.flatMap(({ family }) => sysctlsOf(name, family)),
  };
}

function sysctlsOf(name: string, family: Family): Sysctl[] {
  if (family === 4) return [{ path: `net/ipv4/conf/${name}/forwarding`, value: '1' }];
  return [
    // It is 1 where the host has it so for new devices.
    { path: `net/ipv6/conf/${name}/disable_ipv6`, value: '0' },
    ipv6Forwarding(name),
    // Its hardware address is nobody else's. Else the kernel forwards nothing by it for the first second of its first
    // container: until its link-local address is known to be unique, it asks for no neighbour.
    { path: `net/ipv6/conf/${name}/accept_dad`, value: '0' },
    // Else a container could make itself this host's router (CVE-2020-13401).
    { path: `net/ipv6/conf/${name}/accept_ra`, value: '0' },
  ];
}

/**
 * A hardware address made of the gateway's address (locally administered, 02:cd; the 16 bytes of IPv6 are folded to
 * four): a bridge without one takes the lowest of its ports', so that it changes under the containers' neighbour caches.
 */
function macOf([subnet]: readonly Prefix[]): string | undefined {
  if (subnet === undefined) return undefined;
  const folded = new Uint8Array(4);
  for (const [index, byte] of gateway(subnet).toBytes().entries())
    folded[index % 4] = (folded[index % 4] ?? 0) ^ byte;
  return [0x02, 0xcd, ...folded].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
