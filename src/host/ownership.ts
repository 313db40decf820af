import type { Prefix } from '../net/prefix.ts';
import type { LinkState, ObservedLink, RouteState } from './state.ts';

/** How Corduroy knows what it has put on a host again. */
export interface Ownership {
  /** The alias of links Corduroy made. */
  readonly mark: string;
  /** Of devices that may be there before they can be marked: they are Corduroy's by name and kind. */
  readonly names: ReadonlySet<string>;
  readonly protocol: number;
  /** The overlay's, and those it had before, on record: routes to them may lead through an interface without a mark. */
  readonly networks: readonly Prefix[];
}

export function isOurs({ name, kind, alias }: ObservedLink, { mark, names }: Ownership): boolean {
  return alias === mark || (names.has(name) && NAMED_KINDS.includes(kind));
}

/** wireguard-go's devices are of kind `tun`. */
const NAMED_KINDS: readonly string[] = ['tun', 'wireguard'] satisfies LinkState['kind'][];

/** Marks of all instances. */
const ANY_MARK = /^corduroy(-[a-z0-9]+)?$/;

/**
 * Tells routes of this instance from others of the protocol number, which all instances have in common: those to the
 * overlay's networks, but for what leads to a device of another instance, and all that lead to a device of this one.
 */
export function routeOwnership(
  links: readonly ObservedLink[],
  own: Ownership,
): (route: RouteState) => boolean {
  const ours = new Set<string>();
  const theirs = new Set<string>();
  for (const link of links) {
    if (isOurs(link, own)) ours.add(link.name);
    else if (ANY_MARK.test(link.alias)) theirs.add(link.name);
  }
  return (route) => {
    if (route.type === 'unicast' && ours.has(route.device)) return true;
    if (route.type === 'unicast' && theirs.has(route.device)) return false;
    return own.networks.some((network) => network.covers(route.prefix));
  };
}
