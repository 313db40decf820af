import { parseNetworkConfig } from '../config/network-config.ts';
import type { Family } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';

/** What is to be said of a lab's overlay; the rest is as it mostly is. */
export interface Overlay {
  /** Default: IPv4 alone. */
  readonly families?: readonly Family[];
  readonly network?: string;
  readonly ipv6Network?: string;
  /** Default: udp. */
  readonly backend?: Readonly<{ Type: string } & Record<string, unknown>>;
}

export const LAB_NETWORK = '10.244.0.0/16';
/** Of unique local addresses (RFC 4193). */
const LAB_IPV6_NETWORK = 'fd00:10:244::/48';

/** The network config of a lab. */
export function labConfig({ families = [4], network, ipv6Network, backend }: Overlay = {}): string {
  return JSON.stringify({
    ...(families.includes(4) ? { Network: network ?? LAB_NETWORK } : { EnableIPv4: false }),
    ...(families.includes(6) && { EnableIPv6: true, IPv6Network: ipv6Network ?? LAB_IPV6_NETWORK }),
    Backend: backend ?? { Type: 'udp' },
  });
}

/** What hosts need addresses of for a network config; both where it is of IPv4, so that it may become one of both. */
export function hostFamiliesFor(config: string): readonly Family[] {
  const ranges = parseNetworkConfig(config).value?.ranges ?? [];
  return ranges.some(({ network }) => network.family === 4) ? [4, 6] : [6];
}

/** The second address of the first subnet, after the bridge's. */
export function containerAddress([subnet = '']: readonly string[]): string {
  return Prefix.parse(subnet).address.plus(2n).toString();
}

/** One for each subnet of a host. */
export function containerAddresses(subnets: readonly string[]): string[] {
  return subnets.map((subnet) => containerAddress([subnet]));
}
