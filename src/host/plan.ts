import { CorduroyError } from '../errors.ts';
import {
  type BridgeLink,
  formatInterfaceAddress,
  formatRoute,
  type HostState,
  type LinkState,
  type ObservedHost,
  type ObservedLink,
  type Port,
  type RouteState,
  type TunLink,
} from './state.ts';

export interface Ownership {
  /** The alias of links Corduroy made. */
  readonly mark: string;
  /** The name of the tunnel device; it is Corduroy's by its name. */
  readonly tun: string;
  readonly protocol: number;
  /** Blackhole routes that were added, as formatRoute writes them: they lead to no device that could bear a mark. */
  readonly blackholes: readonly string[];
}

/**
 * The lines for `ip -batch -` that make the host what it should be; none when it is. Only links that bear the mark and
 * routes of the protocol number that lead to them (or are blackholes on record) are ever changed.
 *
 * @throws CorduroyError `foreign-object` when a link of a wanted name exists and is not Corduroy's
 */
export function planHost(wanted: HostState, found: ObservedHost, own: Ownership): string[] {
  const ours = found.links.filter((link) => isOurs(link, own));
  const gone = ours.filter((link) => !wanted.links.some((one) => isAlike(one, link)));
  const remaining = found.links.filter((link) => !gone.includes(link));
  return [
    ...gone.map((link) => `link delete dev ${link.name}`),
    ...wanted.links.flatMap((link) =>
      planLink(
        link,
        remaining.find(({ name }) => name === link.name),
        own,
      ),
    ),
    ...wanted.links.flatMap((link) => (link.kind === 'bridge' ? planPorts(link, remaining) : [])),
    ...planRoutes(wanted, found, ours, gone, own),
  ];
}

/** What removes everything of this instance: its links, and with them their routes; and its blackhole routes. */
export function planRemoval(found: ObservedHost, own: Ownership): string[] {
  return [
    ...found.routes
      .filter((route) => own.blackholes.includes(formatRoute(route)))
      .map((route) => `route delete ${routeWords(route, own)}`),
    ...found.links.filter((link) => isOurs(link, own)).map((link) => `link delete dev ${link.name}`),
  ];
}

export function isOurs(link: ObservedLink, own: Ownership): boolean {
  return link.alias === own.mark || (link.name === own.tun && link.kind === 'tun');
}

/** Packets that wait for the engine; the kernel's 500 for a TUN is what a sender of small ones makes in a millisecond. */
const TUN_QUEUE = 1000;

/** Whether the link can become what is wanted; kind and queues are for a link's life. */
function isAlike(wanted: LinkState, found: ObservedLink): boolean {
  return (
    wanted.name === found.name &&
    wanted.kind === found.kind &&
    (wanted.kind !== 'tun' || isMultiQueue(wanted) === found.multiQueue)
  );
}

function isMultiQueue({ queues = 1 }: TunLink): boolean {
  return queues > 1;
}

function planLink(wanted: LinkState, found: ObservedLink | undefined, own: Ownership): string[] {
  if (found !== undefined && !isOurs(found, own)) {
    throw new CorduroyError(
      'foreign-object',
      `the link ${found.name} exists and was not made by Corduroy (its alias is not "${own.mark}"): choose another name` +
        (wanted.kind === 'tun' || found.kind === wanted.kind
          ? `, or if nobody needs it, ip link delete ${found.name}`
          : ''),
      { retryable: true },
    );
  }
  const { name } = wanted;
  const addresses = wanted.addresses.map(formatInterfaceAddress);
  const present = found?.addresses.map(formatInterfaceAddress) ?? [];
  return [
    ...(found === undefined ? createLines(wanted) : []),
    ...(wanted.kind !== 'tun' || found?.queueLength === TUN_QUEUE
      ? []
      : [`link set dev ${name} txqueuelen ${TUN_QUEUE}`]),
    ...(found?.alias === own.mark ? [] : [`link set dev ${name} alias ${own.mark}`]),
    ...(found?.mtu === wanted.mtu ? [] : [`link set dev ${name} mtu ${wanted.mtu}`]),
    ...present
      .filter((address) => !addresses.includes(address))
      .map((address) => `address delete ${address} dev ${name}`),
    ...addresses
      .filter((address) => !present.includes(address))
      .map((address) => `address add ${address} dev ${name}`),
    ...(found?.up ? [] : [`link set dev ${name} up`]),
  ];
}

/** Whoever deletes a bridge leaves its ports behind; those of one that stands are for others to choose. */
function planPorts({ name, ports = [] }: BridgeLink, found: readonly ObservedLink[]): string[] {
  if (found.some((link) => link.name === name)) return [];
  return found
    .filter((link) => link.master === undefined && ports.some((port) => isPort(port, link)))
    .map((link) => `link set dev ${link.name} master ${name}`);
}

function isPort(port: Port, { index, name }: ObservedLink): boolean {
  return port.index === index && port.name === name;
}

function createLines(link: LinkState): string[] {
  const { name } = link;
  switch (link.kind) {
    case 'tun':
      return [`tuntap add dev ${name} mode tun${isMultiQueue(link) ? ' multi_queue' : ''}`];
    case 'bridge':
      return [`link add name ${name} ${link.mac === undefined ? '' : `address ${link.mac} `}type bridge`];
    default:
      return [];
  }
}

function planRoutes(
  wanted: HostState,
  found: ObservedHost,
  ours: readonly ObservedLink[],
  gone: readonly ObservedLink[],
  own: Ownership,
): string[] {
  const goneNames = gone.map(({ name }) => name);
  const ourNames = ours.map(({ name }) => name);
  const wantedTexts = new Set(wanted.routes.map(formatRoute));
  const present = found.routes.filter(
    (route) => route.type === 'blackhole' || !goneNames.includes(route.device),
  );
  const presentTexts = new Set(present.map(formatRoute));
  // A link that is taken down or created loses or lacks its routes by the time they are to be added: re-read on verify.
  const stale = present.filter((route) => {
    if (wantedTexts.has(formatRoute(route))) return false;
    return route.type === 'unicast'
      ? ourNames.includes(route.device)
      : own.blackholes.includes(formatRoute(route));
  });
  return [
    ...stale.map((route) => `route delete ${routeWords(route, own)}`),
    ...wanted.routes
      .filter((route) => !presentTexts.has(formatRoute(route)))
      .map((route) => `route add ${routeWords(route, own)}`),
  ];
}

function routeWords(route: RouteState, { protocol }: Ownership): string {
  return route.type === 'unicast'
    ? `${route.prefix} dev ${route.device} proto ${protocol}`
    : `blackhole ${route.prefix} proto ${protocol} metric ${route.metric}`;
}
