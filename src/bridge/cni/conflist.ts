import { createHash } from 'node:crypto';
import type { Prefix } from '../../net/prefix.ts';
import { gateway } from '../subnet-env.ts';

/**
 * The newest of CNI's versions that the plugins of Ubuntu 22.04 know (0.9.1; Debian 12 has 1.1.1, which know 1.0.0, too).
 * Nothing of 1.0.0 is needed here.
 */
const CNI_VERSION = '0.4.0';

/**
 * Where host-local notes the addresses it has given away, in a folder for each network. It takes a note back with DEL,
 * which no container gets whose host loses power: below its default, /var/lib/cni, such addresses are gone for good. No
 * container outlives a boot, and neither does /run.
 */
const ADDRESSES = '/run/cni/corduroy';

/** What a conflist says of this host. */
export interface ConflistContent {
  readonly network: string;
  readonly bridge: string;
  /** This host's, IPv4 first. */
  readonly subnets: readonly Prefix[];
  /** Bytes: the MTU of the overlay. */
  readonly mtu: number;
}

/**
 * A CNI network configuration list: a bridge with this host's subnet, whose first address is the bridge's, and published
 * ports. Nothing is masqueraded: other hosts see containers by their own addresses, and what leaves the network is
 * `--ip-masq`'s.
 */
export function formatConflist({ network, bridge, subnets, mtu }: ConflistContent): string {
  return sealed({
    cniVersion: CNI_VERSION,
    name: network,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: false,
        // A container may reach itself by a port it publishes.
        hairpinMode: true,
        mtu,
        ipam: {
          type: 'host-local',
          dataDir: ADDRESSES,
          // podman shows the ranges of this form only.
          ranges: subnets.map((subnet) => [{ subnet: `${subnet}`, gateway: `${gateway(subnet)}` }]),
          routes: subnets.map(({ family }) => ({ dst: family === 4 ? '0.0.0.0/0' : '::/0' })),
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/**
 * The mark that Corduroy has written a file, and the digest of what else is in it, by which a change shows. Runtimes
 * ignore keys they do not know beside the plugins (nerdctl puts its own there), and pass none of them to a plugin.
 */
const MARK = 'corduroy';

/** Who wrote a file: Corduroy, Corduroy and then somebody else, or somebody else. */
export type Author = 'corduroy' | 'changed' | 'other';

/** Spaces and line ends do not count. */
export function authorOf(text: string): Author {
  const { [MARK]: mark, ...content } = parseObject(text);
  if (typeof mark !== 'object' || mark === null || !('sha256' in mark)) return 'other';
  return mark.sha256 === digest(content) ? 'corduroy' : 'changed';
}

function sealed(content: object): string {
  return `${JSON.stringify({ ...content, [MARK]: { sha256: digest(content) } }, undefined, 2)}\n`;
}

function digest(content: object): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

/** Empty when it is none. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
