import { Prefix } from '../net/prefix.ts';
import { type Ownership, routeOwnership } from './ownership.ts';
import { formatRoute, type ObservedHost, type RouteState } from './state.ts';

/** Names of links that are deleted. */
interface Departures {
  /** Before these lines: their routes are gone by then. */
  readonly before: ReadonlySet<string>;
  /** After these lines: they take their routes along. */
  readonly after: ReadonlySet<string>;
}

/**
 * What makes the routes what they should be. One that leads another way from now on is replaced, so that there is no
 * moment without it; one that is missing is added, which the kernel refuses if somebody else's is in its place.
 */
export function planRoutes(
  wanted: readonly RouteState[],
  found: ObservedHost,
  own: Ownership,
  { before, after }: Departures,
): string[] {
  const present = found.routes.filter((route) => !leadsTo(before, route));
  const wantedTexts = new Set(wanted.map(formatRoute));
  const isOurs = routeOwnership(found.links, own);
  const stale = present.filter((route) => !wantedTexts.has(formatRoute(route)) && isOurs(route));
  const stalePlaces = new Set(stale.map(placeOf));
  const missing = missingRoutes(wanted, found, before);
  const missingPlaces = new Set(missing.map(placeOf));
  return [
    ...missing.flatMap((route) => {
      return setRoute(route, stalePlaces.has(placeOf(route)) ? 'replace' : 'add', own);
    }),
    ...stale
      .filter((route) => !missingPlaces.has(placeOf(route)) && !leadsTo(after, route))
      .map((route) => deleteRoute(route, own)),
  ];
}

/** @param gone names of links that are deleted */
export function missingRoutes(
  wanted: readonly RouteState[],
  { routes }: ObservedHost,
  gone: ReadonlySet<string>,
): RouteState[] {
  const present = new Set(routes.filter((route) => !leadsTo(gone, route)).map(formatRoute));
  return wanted.filter((route) => !present.has(formatRoute(route)));
}

/**
 * IPv6 takes no gateway for one on the link while a route to it leads elsewhere (ip6_route_check_nh_onlink), such as that
 * of a whole network, or the one that is being replaced. So the way to it is told first, and taken back afterwards.
 */
function setRoute(route: RouteState, verb: 'add' | 'replace', own: Ownership): string[] {
  const line = `route ${verb} ${routeWords(route, own)}`;
  if (route.type !== 'unicast' || !route.onlink || route.gateway?.family !== 6) return [line];
  const way = routeWords(
    { type: 'unicast', prefix: Prefix.of(route.gateway, 128), device: route.device },
    own,
  );
  return [`route add ${way}`, line, `route delete ${way}`];
}

export function deleteRoute(route: RouteState, own: Ownership): string {
  return `route delete ${routeWords(route, own)}`;
}

export function leadsTo(devices: ReadonlySet<string>, route: RouteState): boolean {
  return route.type === 'unicast' && devices.has(route.device);
}

/** The kernel has one route for each of these. */
function placeOf({ prefix, metric = 0 }: RouteState): string {
  return `${prefix} ${metric}`;
}

function routeWords(route: RouteState, { protocol }: Ownership): string {
  const metric = route.metric === undefined ? '' : ` metric ${route.metric}`;
  if (route.type === 'blackhole') return `blackhole ${route.prefix} proto ${protocol}${metric}`;
  const via = route.gateway === undefined ? '' : ` via ${route.gateway}`;
  const onlink = route.onlink ? ' onlink' : '';
  return `${route.prefix}${via} dev ${route.device}${onlink} proto ${protocol}${metric}`;
}
