import type {
  InterfaceAddress,
  ObservedHost,
  ObservedLink,
  ObservedTunnel,
  RouteState,
  VxlanTables,
} from '../../../src/host/state.ts';
import { formatInterfaceAddress, formatRoute } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

export type SimulatedLink = { -readonly [Key in keyof ObservedLink]: ObservedLink[Key] };
export type SimulatedRoute = RouteState & { readonly protocol: number };

/** What a VXLAN device holds: permanent entries only. */
interface SimulatedTables {
  readonly neighbours: Map<string, string>;
  readonly fdb: Map<string, string[]>;
  txChecksum: boolean;
}

/** As much of a kernel as the lines of a plan need: they change it as `ip -batch` would, or fail as it would. */
export class SimulatedHost {
  readonly links = new Map<string, SimulatedLink>();
  readonly vxlans = new Map<string, SimulatedTables>();
  routes: SimulatedRoute[] = [];

  constructor(links: readonly ObservedLink[] = [], routes: readonly SimulatedRoute[] = []) {
    for (const link of links) this.links.set(link.name, { ...link });
    for (const { name, kind } of links) if (kind === 'vxlan') this.vxlans.set(name, emptyTables());
    this.routes = [...routes];
  }

  /** What `observeHost` would find: all links, and the routes of one protocol. */
  observe(protocol: number): ObservedHost {
    const routes = this.routes.filter((route) => route.protocol === protocol);
    return {
      links: [...this.links.values()].map((link) => ({ ...link })),
      routes: routes.map(({ protocol: _, ...route }) => route),
      vxlans: new Map([...this.vxlans].map(([name, tables]) => [name, copyOf(tables)])),
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
    const tables = [...this.links.values()].filter(whichLinks).flatMap(({ name }) => this.entries(name));
    const routes = this.routes.filter(whichRoutes).map((route) => `${formatRoute(route)} ${route.protocol}`);
    return [...links.sort(), ...tables, ...routes.sort()];
  }

  /** What a VXLAN device holds, in words. */
  entries(name: string): string[] {
    const tables = this.vxlans.get(name);
    if (tables === undefined) return [];
    return [
      ...[...tables.neighbours].map(([ip, mac]) => `${name} ${ip} is ${mac}`).sort(),
      ...[...tables.fdb].map(([mac, destinations]) => `${name} ${mac} at ${destinations.join()}`).sort(),
      `${name} checksum ${tables.txChecksum}`,
    ];
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
        this.#create(option('dev'), option('mode'), { multiQueue: words.includes('multi_queue') });
        return;
      case 'link add':
        this.#createByLink(words, option);
        return;
      case 'link delete': {
        const { name } = this.#link(option('dev'));
        this.links.delete(name);
        this.vxlans.delete(name);
        this.routes = this.routes.filter((route) => route.type === 'blackhole' || route.device !== name);
        return;
      }
      case 'link set': {
        const link = this.#link(option('dev'));
        if (words.includes('master')) link.master = this.#link(option('master')).name;
        else if (words.includes('alias')) link.alias = option('alias');
        else if (words.includes('mtu')) link.mtu = Number(option('mtu'));
        else if (words.includes('address')) link.mac = option('address');
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
      case 'neighbour replace':
      case 'neighbour delete':
      case 'fdb replace':
      case 'fdb delete':
        this.#changeTables(`${noun} ${verb}`, words[0] ?? '', this.#tables(option('dev')), option);
        return;
      case 'ethtool -K':
        this.#tables(words[0] ?? '').txChecksum = words[2] === 'on';
        return;
      case 'route add':
      case 'route replace':
      case 'route delete':
        this.#changeRoute(verb ?? '', words, Number(option('proto')));
        return;
      default:
        throw new Error('no such command');
    }
  }

  #changeTables(
    change: string,
    key: string,
    { neighbours, fdb }: SimulatedTables,
    option: (name: string) => string,
  ): void {
    switch (change) {
      case 'neighbour replace':
        neighbours.set(key, option('lladdr'));
        return;
      case 'neighbour delete':
        if (!neighbours.delete(key)) throw new Error('No such file or directory');
        return;
      case 'fdb replace':
        fdb.set(key, [option('dst')]);
        return;
      default: {
        const found = fdb.get(key) ?? [];
        const left = found.filter((destination) => destination !== option('dst'));
        if (left.length === found.length) throw new Error('No such file or directory');
        if (left.length > 0) fdb.set(key, left);
        else fdb.delete(key);
      }
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

  #createByLink(words: readonly string[], option: (name: string) => string): void {
    const kind = option('type');
    if (kind === 'bridge') {
      this.#create(option('name'), kind);
      return;
    }
    const tunnel: ObservedTunnel = {
      local: Ip.parse(option('local')),
      device: this.#link(option('dev')).name,
    };
    if (kind !== 'vxlan') {
      this.#create(option('name'), kind, { tunnel });
      return;
    }
    const vxlan = {
      vni: Number(option('id')),
      port: Number(option('dstport')),
      learning: !words.includes('nolearning'),
      gbp: words.includes('gbp'),
    };
    const clash = [...this.links.values()].some(
      ({ tunnel: other }) =>
        other?.vxlan?.vni === vxlan.vni &&
        other.vxlan.port === vxlan.port &&
        other.local?.family === tunnel.local?.family,
    );
    if (clash) throw new Error('A VXLAN device with the specified VNI already exists');
    this.#create(option('name'), kind, { mac: option('address'), tunnel: { ...tunnel, vxlan } });
    this.vxlans.set(option('name'), emptyTables());
  }

  #create(name: string, kind: string, over: Partial<SimulatedLink> = {}): void {
    if (this.links.has(name)) throw new Error('File exists');
    this.links.set(name, {
      name,
      kind,
      multiQueue: false,
      alias: '',
      up: false,
      mtu: 1500,
      queueLength: 500,
      addresses: [],
      ...over,
    });
  }

  #link(name: string): SimulatedLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`Cannot find device "${name}"`);
    return link;
  }

  #tables(name: string): SimulatedTables {
    const tables = this.vxlans.get(name);
    if (tables === undefined) throw new Error(`Cannot find device "${name}"`);
    return tables;
  }
}

function emptyTables(): SimulatedTables {
  return { neighbours: new Map(), fdb: new Map(), txChecksum: true };
}

function copyOf({ neighbours, fdb, txChecksum }: SimulatedTables): VxlanTables {
  return { neighbours: new Map(neighbours), fdb: new Map(fdb), txChecksum };
}

function parseRoute(words: readonly string[]): RouteState {
  const [first = '', second = ''] = words;
  const after = (word: string) => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
  if (first === 'blackhole')
    return { type: 'blackhole', prefix: Prefix.parse(second), metric: Number(after('metric')) };
  const gateway = Ip.tryParse(after('via') ?? '');
  return {
    type: 'unicast',
    prefix: Prefix.parse(first),
    device: after('dev') ?? '',
    ...(gateway && { gateway }),
    ...(words.includes('onlink') && { onlink: true }),
    ...(words.includes('metric') && { metric: Number(after('metric')) }),
  };
}

function metricOf(route: RouteState): number {
  return route.metric ?? (route.prefix.family === 4 ? 0 : 1024);
}

export function parseAddress(text = ''): InterfaceAddress {
  const [ip = '', length] = text.split('/');
  return { ip: Ip.parse(ip), length: Number(length) };
}

function sameAddress(one: InterfaceAddress, other: InterfaceAddress): boolean {
  return formatInterfaceAddress(one) === formatInterfaceAddress(other);
}
