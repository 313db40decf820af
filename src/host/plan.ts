import { isOurs, type Ownership, routeOwnership } from './ownership.ts';
import { isInTheWay, planLink, planPorts } from './plan-links.ts';
import { deleteRoute, leadsTo, missingRoutes, planRoutes } from './plan-routes.ts';
import { planVxlan } from './plan-vxlan.ts';
import type { HostState, ObservedHost, RouteState } from './state.ts';

/** Lines for `batch.ts`; none in either: the host is as it should be. */
export interface HostPlan {
  /** What stands in the way goes, devices are made and changed, and get to know the other hosts. */
  readonly devices: readonly string[];
  /** Then packets are led to them, and only then goes what they were led to before. */
  readonly ways: readonly string[];
  /** Whether it is nothing but what leads to single hosts, or to none any more. */
  readonly isInPart: boolean;
}

/**
 * What makes the host what it should be. Only links that bear the mark, what they hold, and routes of the protocol number
 * that lead to them or into the overlay's networks are ever changed. WireGuard devices have to be there: none is made here.
 *
 * @param wanted nothing of it is in the way of another's, see obstacles.ts
 */
export function planHost(wanted: HostState, found: ObservedHost, own: Ownership): HostPlan {
  const wantedLinks = new Map(wanted.links.map((link) => [link.name, link]));
  const ours = found.links.filter((link) => isOurs(link, own));
  const inTheWay = new Set(ours.filter((link) => isInTheWay(link, wantedLinks)).map(({ name }) => name));
  const leftOver = new Set(
    ours.map(({ name }) => name).filter((name) => !wantedLinks.has(name) && !inTheWay.has(name)),
  );
  const remaining = found.links.filter(({ name }) => !inTheWay.has(name));
  const byName = new Map(remaining.map((link) => [link.name, link]));
  const vxlans = wanted.links
    .filter((link) => link.kind === 'vxlan')
    .map((link) => planVxlan(link, inTheWay.has(link.name) ? undefined : found.vxlans.get(link.name)));
  const links = [
    ...deleteLinks(inTheWay),
    ...wanted.links.flatMap((link) => planLink(link, byName.get(link.name), own)),
    ...wanted.links.flatMap((link) => (link.kind === 'bridge' ? planPorts(link, remaining) : [])),
  ];
  const isForMany = (route: RouteState) => route.type === 'blackhole' || route.gateway === undefined;
  return {
    isInPart: links.length === 0 && !missingRoutes(wanted.routes, found, inTheWay).some(isForMany),
    devices: [
      ...links,
      ...vxlans.flatMap(({ neighbours }) => neighbours),
      ...vxlans.flatMap(({ offload }) => offload),
      ...vxlans.flatMap(({ fdb }) => fdb),
    ],
    ways: [
      ...planRoutes(wanted.routes, found, own, { before: inTheWay, after: leftOver }),
      ...vxlans.flatMap(({ staleNeighbours }) => staleNeighbours),
      ...deleteLinks(leftOver),
      ...vxlans.flatMap(({ staleFdb }) => staleFdb),
    ],
  };
}

/** What removes everything of this instance: its links, and with them what leads to them; and its other routes. */
export function planRemoval(found: ObservedHost, own: Ownership): string[] {
  const names = new Set(found.links.filter((link) => isOurs(link, own)).map(({ name }) => name));
  const isOurRoute = routeOwnership(found.links, own);
  return [
    ...found.routes
      .filter((route) => isOurRoute(route) && !leadsTo(names, route))
      .map((route) => deleteRoute(route, own)),
    ...deleteLinks(names),
  ];
}

function deleteLinks(names: ReadonlySet<string>): string[] {
  return [...names].map((name) => `link delete dev ${name}`);
}
