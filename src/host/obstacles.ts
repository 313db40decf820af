import { CorduroyError } from '../errors.ts';
import { isOurs, type Ownership } from './ownership.ts';
import { hasVni } from './plan-links.ts';
import type { HostState, LinkState, ObservedHost, ObservedLink, VxlanLink } from './state.ts';

/** What can be brought about of what is wanted. */
export interface Passable {
  readonly wanted: HostState;
  /** `foreign-object`: why it is not all. */
  readonly obstacle?: CorduroyError;
}

/**
 * Leaves away links whose name, or VNI, is that of a link which is not Corduroy's, with what leads to them: that link is
 * never touched, and all else is brought about.
 */
export function passObstacles(wanted: HostState, { links }: ObservedHost, own: Ownership): Passable {
  const foreign = links.filter((link) => !isOurs(link, own));
  const obstacles = new Map<string, string>();
  for (const link of wanted.links) {
    const text = obstacleTo(link, foreign, links, own);
    if (text !== undefined) obstacles.set(link.name, text);
  }
  if (obstacles.size === 0) return { wanted };
  const isFree = (device: string) => !obstacles.has(device);
  return {
    wanted: {
      links: wanted.links.filter(({ name }) => isFree(name)),
      routes: wanted.routes.filter((route) => route.type !== 'unicast' || isFree(route.device)),
      // net/ipv4/conf/DEVICE/…
      sysctls: wanted.sysctls.filter(({ path }) => path.split('/').every(isFree)),
    },
    obstacle: new CorduroyError('foreign-object', [...obstacles.values()].join('; '), { retryable: true }),
  };
}

/** @param links all that are there */
function obstacleTo(
  wanted: LinkState,
  foreign: readonly ObservedLink[],
  links: readonly ObservedLink[],
  { mark }: Ownership,
): string | undefined {
  const sameName = foreign.find(({ name }) => name === wanted.name);
  if (sameName !== undefined) return foreignName(wanted, sameName, mark);
  if (wanted.kind !== 'vxlan') return undefined;
  if (links.some((link) => link.name === wanted.name && hasVni(link, wanted))) return undefined;
  const sameVni = foreign.find((link) => hasVni(link, wanted));
  return sameVni && foreignVni(wanted, sameVni);
}

function foreignName(wanted: LinkState, { name, kind }: ObservedLink, mark: string): string {
  const mayDelete = wanted.kind === 'tun' || kind === wanted.kind;
  return (
    `the link ${name} exists and was not made by Corduroy (its alias is not "${mark}"): choose another name` +
    (mayDelete ? `, or if nobody needs it, ip link delete ${name}` : '')
  );
}

function foreignVni({ vni, port, name }: VxlanLink, other: ObservedLink): string {
  return (
    `the VXLAN device ${other.name} has VNI ${vni} at UDP port ${port}, and the kernel allows no second one: ${name} ` +
    `cannot be made. If nobody needs it any more (flanneld leaves its own behind), ip link delete ${other.name}`
  );
}
