import type { InterfaceAddress, ObservedHost, ObservedLink, RouteState } from '../../../src/host/state.ts';
import { formatInterfaceAddress, formatRoute } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

export type SimulatedLink = { -readonly [Key in keyof ObservedLink]: ObservedLink[Key] };
export type SimulatedRoute = RouteState & { readonly protocol: number };

/** As much of a kernel as the lines of a plan need: they change it as `ip -batch` would, or fail as it would. */
export class SimulatedHost {
  readonly links = new Map<string, SimulatedLink>();
  routes: SimulatedRoute[] = [];

  constructor(links: readonly ObservedLink[] = [], routes: readonly SimulatedRoute[] = []) {
    for (const link of links) this.links.set(link.name, { ...link });
    this.routes = [...routes];
  }

  /** What `observeHost` would find: all links, and the routes of one protocol. */
  observe(protocol: number): ObservedHost {
    const routes = this.routes.filter((route) => route.protocol === protocol);
    return {
      links: [...this.links.values()].map((link) => ({ ...link })),
      routes: routes.map(({ protocol: _, ...route }) => route),
    };
  }

  /** @returns what ip complains of; `ip -force` goes on after it */
  apply(lines: readonly string[]): string[] {
    return lines.flatMap((line) => {
      try {
        this.#run(line);
        return [];
      } catch (error) {
        return [`${line}: ${error instanceof Error ? error.message : error}`];
      }
    });
  }

  /** Everything of the host in words, for comparisons. */
  describe(of: { link?: (link: ObservedLink) => boolean; route?: (route: SimulatedRoute) => boolean } = {}) {
    const { link: whichLinks = () => true, route: whichRoutes = () => true } = of;
    const links = [...this.links.values()].filter(whichLinks).map(({ addresses, ...link }) => {
      return `${JSON.stringify(link)} ${addresses.map(formatInterfaceAddress).sort().join(' ')}`;
    });
    const routes = this.routes.filter(whichRoutes).map((route) => `${formatRoute(route)} ${route.protocol}`);
    return [...links.sort(), ...routes.sort()];
  }

  #run(line: string): void {
    const [noun, verb, ...words] = line.split(' ');
    const option = (name: string): string => {
      const index = words.indexOf(name);
      const value = index < 0 ? undefined : words[index + 1];
      if (value === undefined) throw new Error(`"${name}" is missing`);
      return value;
    };
    switch (`${noun} ${verb}`) {
      case 'tuntap add':
        this.#create(option('dev'), option('mode'), words.includes('multi_queue'));
        return;
      case 'link add':
        this.#create(option('name'), option('type'));
        return;
      case 'link delete': {
        const { name } = this.#link(option('dev'));
        this.links.delete(name);
        this.routes = this.routes.filter((route) => route.type === 'blackhole' || route.device !== name);
        return;
      }
      case 'link set': {
        const link = this.#link(option('dev'));
        if (words.includes('master')) link.master = this.#link(option('master')).name;
        else if (words.includes('alias')) link.alias = option('alias');
        else if (words.includes('mtu')) link.mtu = Number(option('mtu'));
        else if (words.includes('txqueuelen')) link.queueLength = Number(option('txqueuelen'));
        else if (words.at(-1) === 'up') link.up = true;
        else throw new Error('what is to be set?');
        return;
      }
      case 'address add':
      case 'address delete': {
        const link = this.#link(option('dev'));
        const address = parseAddress(words[0]);
        const others = link.addresses.filter((one) => !sameAddress(one, address));
        if (others.length < link.addresses.length !== (verb === 'delete'))
          throw new Error('File exists, or not');
        link.addresses = verb === 'add' ? [...others, address] : others;
        return;
      }
      case 'route add':
      case 'route replace':
      case 'route delete':
        this.#changeRoute(verb ?? '', words, Number(option('proto')));
        return;
      default:
        throw new Error('no such command');
    }
  }

  /** The kernel tells routes apart by prefix and metric: `replace` takes the place of whoever's route is there. */
  #changeRoute(verb: string, words: readonly string[], protocol: number): void {
    const route = parseRoute(words);
    if (route.type === 'unicast' && !this.#link(route.device).up) throw new Error('Network is down');
    const twin = this.routes.find(
      (one) => one.prefix.equals(route.prefix) && metricOf(one) === metricOf(route),
    );
    const exact =
      twin !== undefined && formatRoute(twin) === formatRoute(route) && twin.protocol === protocol;
    if (verb === 'delete' && !exact) throw new Error('No such process');
    if (verb === 'add' && twin !== undefined) throw new Error('File exists');
    this.routes = this.routes.filter((one) => one !== twin);
    if (verb !== 'delete') this.routes.push({ ...route, protocol });
  }

  #create(name: string, kind: string, multiQueue = false): void {
    if (this.links.has(name)) throw new Error('File exists');
    this.links.set(name, {
      name,
      kind,
      multiQueue,
      alias: '',
      up: false,
      mtu: 1500,
      queueLength: 500,
      addresses: [],
    });
  }

  #link(name: string): SimulatedLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`Cannot find device "${name}"`);
    return link;
  }
}

function parseRoute(words: readonly string[]): RouteState {
  const [first = '', second = ''] = words;
  return first === 'blackhole'
    ? { type: 'blackhole', prefix: Prefix.parse(second), metric: Number(words[words.indexOf('metric') + 1]) }
    : { type: 'unicast', prefix: Prefix.parse(first), device: words[words.indexOf('dev') + 1] ?? '' };
}

function metricOf(route: RouteState): number {
  return route.type === 'blackhole' ? route.metric : 0;
}

export function parseAddress(text = ''): InterfaceAddress {
  const [ip = '', length] = text.split('/');
  return { ip: Ip.parse(ip), length: Number(length) };
}

function sameAddress(one: InterfaceAddress, other: InterfaceAddress): boolean {
  return formatInterfaceAddress(one) === formatInterfaceAddress(other);
}
