import { isCode } from '../errors.ts';
import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';

/** The hand-off to whatever configures containers: flannel's file, line for line. */
export interface SubnetEnv {
  /** IPv4 first, one or two: the network, and this host's subnet of it. */
  readonly families: readonly { readonly network: Prefix; readonly subnet: Prefix }[];
  /** Bytes: the MTU of the overlay. */
  readonly mtu: number;
  /** Whether Corduroy masquerades, so that nobody else has to. */
  readonly ipMasq: boolean;
}

export function formatSubnetEnv({ families, mtu, ipMasq }: SubnetEnv): string {
  const lines = families.flatMap(({ network, subnet }) => {
    const infix = network.family === 6 ? 'IPV6_' : '';
    return [
      `FLANNEL_${infix}NETWORK=${network}`,
      `FLANNEL_${infix}SUBNET=${gateway(subnet)}/${subnet.length}`,
    ];
  });
  return [...lines, `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${ipMasq}`, ''].join('\n');
}

/** The bridge's address: the first after the subnet's own. */
export function gateway(subnet: Prefix): Ip {
  return subnet.address.plus(1n);
}

/** The variables of a file in this form; lines that are none are ignored. */
export function parseEnv(text: string): Map<string, string> {
  const pairs = text.split('\n').map((line) => /^\s*([A-Z0-9_]+)=(.*?)\s*$/.exec(line));
  return new Map(pairs.flatMap((match) => (match?.[1] === undefined ? [] : [[match[1], match[2] ?? '']])));
}

/** The subnets in a subnet.env, IPv4 first; none when any of them cannot be read. */
export function subnetsIn(text: string): Prefix[] {
  const variables = parseEnv(text);
  try {
    return ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET'].flatMap((name) => {
      const value = variables.get(name);
      if (value === undefined) return [];
      const [address = '', length = ''] = value.split('/');
      return [Prefix.of(Ip.parse(address), length === '' ? Number.NaN : Number(length))];
    });
  } catch (error) {
    if (isCode(error, 'malformed')) return [];
    throw error;
  }
}
