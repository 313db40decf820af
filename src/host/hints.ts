import { DOCKER_USER } from './forward-rules.ts';
import type { Port } from './state.ts';

/**
 * What somebody has changed, perhaps this program itself: a link or route of Corduroy's, its firewall rules, or the way
 * to the other hosts. A hint only says where to look: what is wrong, the comparison finds out.
 */
export type Hint = 'host' | 'firewall' | 'interface';

/** What of a host hints are about. */
export interface Watched {
  readonly bridge: string | undefined;
  /** Route protocol number of Corduroy's routes. */
  readonly protocol: number;
  /** Corduroy's nft table, of family `ip` and `ip6`. */
  readonly table: string;
  /** Corduroy's iptables chain. */
  readonly chain: string;
}

/** What changes while hints are read. */
export interface Surroundings {
  /** Name of the interface that the traffic between hosts goes by. */
  readonly external: () => string | undefined;
  /** Names of the devices that Corduroy has made, without the bridge. */
  readonly devices: () => ReadonlySet<string>;
  /** Destinations of Corduroy's routes as ip writes them: a foreign route that takes the place of one tells only itself. */
  readonly destinations: () => ReadonlySet<string>;
  /** Is told of each link that is a port of the bridge. */
  readonly onPort?: (port: Port) => void;
}

/**
 * `label`: each line says what it is about. Not `-d`: its lines are many times as long, a container makes ten of them.
 * `neigh`: FDB entries, too.
 */
export const IP_MONITOR = ['-o', 'monitor', 'label', 'link', 'address', 'route', 'neigh'] as const;
/** `ruleset`: no packet traces. Terse and stateless: no elements of sets, no counters. */
export const NFT_MONITOR = ['-s', '-t', 'monitor', 'ruleset'] as const;

const LINK = /^\[LINK\](Deleted )?\d+: ([^:@]+)(?:@[^:]*)?: <([^>]*)> mtu (\d+)/;
const PORT = /^\[LINK\](\d+): .* master (\S+) /;
const ADDRESS = /^\[ADDR\](?:Deleted )?\d+: (\S+)\s+inet6? .* scope (\S+)/;
const ROUTE = /^\[ROUTE\](?:Deleted )?(?:(?:unicast|blackhole|unreachable|prohibit|throw) )?(\S+)(.*)$/;
/** One that is deleted has failed; all other states come and go by themselves, and none of them is set by Corduroy. */
const NEIGHBOUR = /^\[NEIGH\](?:Deleted )?(?:\S+ )?dev (\S+) .*\b(?:PERMANENT|FAILED)\b/;
const TYPES_OF_OTHERS = /^\[ROUTE\](?:Deleted )?(?:local|broadcast|multicast|anycast|nat) /;

/**
 * Reads what `ip monitor` says. Containers that come and go change the flags and the hardware address of a bridge, and
 * nothing that is compared: of a bridge and of the external interface it remembers what matters, and hints at changes.
 */
export class IpHints {
  readonly #watched: Watched;
  readonly #surroundings: Surroundings;
  readonly #links = new Map<string, string>();

  constructor(watched: Watched, surroundings: Surroundings) {
    this.#watched = watched;
    this.#surroundings = surroundings;
  }

  read(line: string): Hint | undefined {
    if (line.startsWith('[LINK]')) return this.#ofLink(line);
    if (line.startsWith('[ADDR]')) return this.#ofAddress(line);
    if (line.startsWith('[NEIGH]')) return this.#ofNeighbour(line);
    return line.startsWith('[ROUTE]') ? this.#ofRoute(line) : undefined;
  }

  #ofLink(line: string): Hint | undefined {
    const [, deleted, name = '', flags = '', mtu = ''] = LINK.exec(line) ?? [];
    const { bridge } = this.#watched;
    if (this.#surroundings.devices().has(name)) return 'host';
    const [, index, master] = PORT.exec(line) ?? [];
    if (bridge !== undefined && master === bridge && deleted === undefined)
      this.#surroundings.onPort?.({ index: Number(index), name });
    const external = this.#surroundings.external();
    if (name === '' || (name !== bridge && name !== external)) return undefined;
    const words = flags.split(',');
    const isUp = words.includes('UP');
    // A bridge has a carrier while one of its ports has; whether the external interface has one may change the route.
    const state = deleted ?? `${isUp} ${name === external && words.includes('LOWER_UP')} ${mtu}`;
    const before = this.#links.get(name);
    this.#links.set(name, state);
    if (state === before) return undefined;
    return name === bridge ? 'host' : 'interface';
  }

  #ofAddress(line: string): Hint | undefined {
    const [, name, scope] = ADDRESS.exec(line) ?? [];
    if (name === undefined || scope === 'link') return undefined;
    const isOurs = name === this.#watched.bridge || this.#surroundings.devices().has(name);
    return isOurs ? 'host' : 'interface';
  }

  #ofNeighbour(line: string): Hint | undefined {
    const [, name = ''] = NEIGHBOUR.exec(line) ?? [];
    return this.#surroundings.devices().has(name) ? 'host' : undefined;
  }

  #ofRoute(line: string): Hint | undefined {
    if (TYPES_OF_OTHERS.test(line)) return undefined;
    const [, destination = '', rest = ''] = ROUTE.exec(line) ?? [];
    const words = ` ${rest.trim()} `;
    if (words.includes(` proto ${this.#watched.protocol} `)) return 'host';
    // All that is of interest is in the main table, which ip does not name.
    if (words.includes(' table ')) return undefined;
    if (this.#surroundings.destinations().has(destination)) return 'host';
    return destination === 'default' ? 'interface' : undefined;
  }
}

const CHANGE = /^(add|create|insert|replace|delete|destroy) (\S+) ip6? (\S+)(?: (\S+))?/;

/**
 * What a line of `nft monitor` hints at. Rules of others in the chains where Corduroy's stand may decide on packets before
 * them. Whoever changes a rule of FORWARD with iptables declares that chain again: only that it is taken away matters.
 */
export function nftHint(line: string, { table, chain }: Watched): Hint | undefined {
  if (line.startsWith('# ERROR')) return 'firewall'; // The kernel's buffer ran over.
  const [, verb, kind, ofTable, name] = CHANGE.exec(line) ?? [];
  if (ofTable === table) return 'firewall';
  if (ofTable !== 'filter') return undefined;
  const removes = verb === 'delete' || verb === 'destroy' || verb === 'replace';
  if (kind === 'table') return removes ? 'firewall' : undefined;
  if (name === 'FORWARD') return removes || kind === 'rule' ? 'firewall' : undefined;
  return name === chain || name === DOCKER_USER ? 'firewall' : undefined;
}
