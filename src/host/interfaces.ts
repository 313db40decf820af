import { lookup } from 'node:dns/promises';
import { CorduroyError } from '../errors.ts';
import { isHostAddress } from '../net/host-address.ts';
import { type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { run } from './exec.ts';
import {
  addressesIn,
  type EtcdWay,
  type HostAddress,
  type HostFacts,
  type Interface,
  needOf,
  type Way,
} from './host-facts.ts';
import {
  decideInterface,
  distinct,
  type InterfaceChoice,
  type InterfaceWishes,
  needsEtcd,
} from './interface-choice.ts';
import { others } from './interface-guess.ts';
import { type LinkRecord, readLinks } from './observe.ts';
import { Resolver } from './resolver.ts';
import type { ExternalInterface } from './state.ts';

export interface HostNetwork {
  readonly interfaces: readonly Interface[];
  /** Best first. */
  readonly defaultRoutes: (family: Family) => Promise<readonly Way[]>;
  readonly routeTo: (address: string) => Promise<Way | undefined>;
  /** The IPv6 networks that the kernel reaches by an interface without a gateway. */
  readonly linkRoutes: (name: string) => Promise<readonly Prefix[]>;
  /** The addresses of a name, of both families; none when it cannot be resolved. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
}

const resolver = new Resolver(async (name) =>
  (await lookup(name, { all: true })).map(({ address }) => address),
);

export async function readHostNetwork(): Promise<HostNetwork> {
  return {
    interfaces: (await readLinks()).map(interfaceOf),
    defaultRoutes: async (family) => waysOf(await readRoutes(family, 'show', 'default')),
    routeTo: async (address) => waysOf(await readRoutes(Ip.parse(address).family, 'get', address))[0],
    linkRoutes: async (name) => linkPrefixes(await readRoutes(6, 'show', 'dev', name)),
    resolve: (name) => resolver.resolve(name),
  };
}

export function interfaceOf(link: LinkRecord): Interface {
  return {
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? '',
    mac: link.address ?? '',
    mtu: link.mtu,
    isLoopback: link.flags.includes('LOOPBACK'),
    hasCarrier: link.flags.includes('LOWER_UP'),
    addresses: hostAddresses(link),
  };
}

/**
 * IPv4 in the kernel's order. Its order of IPv6 addresses is that of their coming, another one after a reboot: here, of
 * those that last, one that tells the network of the link (`/64`, not `/128`) is before the others, one that was set by
 * hand before one that was given for a time, and then the lowest.
 */
export function hostAddresses({ addr_info = [] }: LinkRecord): HostAddress[] {
  const all = addr_info.flatMap(({ local, prefixlen: length, scope, ...flags }) => {
    const ip = local === undefined || scope === 'link' ? undefined : Ip.parse(local);
    if (ip === undefined || (ip.family === 6 && !isHostAddress(ip))) return [];
    const { deprecated, temporary, tentative, dadfailed, dynamic = false } = flags;
    const isPassing = ip.family === 6 && [deprecated, temporary, tentative, dadfailed].includes(true);
    const rank = [isPassing, length === 128, dynamic].map(Number).join('');
    return [{ address: { ip, length, ...(isPassing && { isPassing }) }, rank }];
  });
  const v6 = all.filter(({ address }) => address.ip.family === 6);
  v6.sort((one, other) =>
    one.rank === other.rank
      ? Number(one.address.ip.value > other.address.ip.value) - 0.5
      : Number(one.rank > other.rank) - 0.5,
  );
  return [...all.filter(({ address }) => address.ip.family === 4), ...v6].map(({ address }) => address);
}

async function readRoutes(family: Family, ...words: string[]): Promise<RouteAnswer[]> {
  const { stdout } = await run('ip', ['-j', `-${family}`, 'route', ...words], { allowFailure: true });
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as RouteAnswer[]);
}

/**
 * What an address of a DHCPv6 server (`/128`) does not tell: which network is on the link, a router's advertisement does,
 * and the kernel, or who reads them in its place, makes a route of it.
 */
export function linkPrefixes(routes: readonly RouteAnswer[]): Prefix[] {
  return routes.flatMap(({ type = 'unicast', dst = '', protocol = '', gateway, nexthops }) => {
    const isOnLink = type === 'unicast' && gateway === undefined && nexthops === undefined;
    if (!isOnLink || !/^(kernel|ra)$/.test(protocol) || !dst.includes('/')) return [];
    const prefix = Prefix.parse(dst);
    return isHostAddress(prefix.address) ? [prefix] : [];
  });
}

/** The part of `ip -j route` that is read; the kernel gives the route of the lowest metric first. */
interface RouteAnswer extends NextHop {
  /** Absent: unicast. */
  readonly type?: string;
  readonly dst?: string;
  readonly protocol?: string;
  readonly prefsrc?: string;
  /** Of a route with several ways: it has no device of its own then. */
  readonly nexthops?: readonly NextHop[];
}

interface NextHop {
  readonly dev?: string;
  readonly gateway?: string;
  /** `dead`: the kernel does not use it. */
  readonly flags?: readonly string[];
}

/** The ways out that the kernel uses, best first. */
export function waysOf(routes: readonly RouteAnswer[]): Way[] {
  return routes.flatMap(({ type = 'unicast', prefsrc, nexthops, ...own }) =>
    (nexthops ?? [own]).flatMap(({ dev, gateway, flags }) =>
      type !== 'unicast' || dev === undefined || flags?.includes('dead')
        ? []
        : [
            {
              device: dev,
              ...(gateway !== undefined && { gateway }),
              ...(prefsrc !== undefined && { source: prefsrc }),
            },
          ],
    ),
  );
}

/**
 * @param families that it has to have an address of; none: IPv4, or IPv6 where the host has no IPv4
 * @param current name of the interface that has been in use until now
 * @throws CorduroyError `no-interface`, retryable, with what there is to choose from
 */
export async function chooseInterface(
  wishes: InterfaceWishes,
  host: HostNetwork,
  families: readonly Family[],
  current?: string,
): Promise<ExternalInterface> {
  const { chosen, problem } = await explainInterface(wishes, host, families, current);
  if (chosen !== undefined) return chosen;
  const told = families.length === 0 ? BOTH : families;
  const offers = host.interfaces
    .map((one) => ({ name: one.name, addresses: addressesIn(one, told) }))
    .filter(({ addresses }) => addresses.length > 0)
    .map(({ name, addresses }) => `${name} (${addresses.join(', ')})`);
  const need = families.length === 2 ? 'an address' : needOf(families);
  const text = `${problem}. This host has: ${offers.join(', ') || `no interface with ${need}`}`;
  throw new CorduroyError('no-interface', text, { retryable: true });
}

const BOTH = [4, 6] as const;

/** The choice, and what it was made from. Parameters as above. */
export async function explainInterface(
  wishes: InterfaceWishes,
  host: HostNetwork,
  families: readonly Family[],
  current?: string,
): Promise<InterfaceChoice> {
  if (families.length > 0) return await explainFor(wishes, host, { families }, current);
  const byIpv4 = await explainFor(wishes, host, { families: [4], alsoTold: [6] }, current);
  if (byIpv4.chosen !== undefined || (await hasIpv4(host))) return byIpv4;
  const byIpv6 = await explainFor(wishes, host, { families: [6], alsoTold: [4] }, current);
  return byIpv6.chosen === undefined ? byIpv4 : byIpv6;
}

/** Whether there is IPv4 on it beyond what containers have: a choice that cannot be made there is for the operator. */
async function hasIpv4({ interfaces, defaultRoutes }: HostNetwork): Promise<boolean> {
  const defaults = await defaultRoutes(4);
  return defaults.length > 0 || others({ interfaces, families: [4], defaults }).length > 0;
}

async function explainFor(
  wishes: InterfaceWishes,
  host: HostNetwork,
  asked: Pick<HostFacts, 'families' | 'alsoTold'>,
  current: string | undefined,
): Promise<InterfaceChoice> {
  const { ifaceCanReach } = wishes;
  const facts: HostFacts = {
    ...asked,
    interfaces: host.interfaces,
    defaults: await host.defaultRoutes(asked.families[0] ?? 4),
    canReach: ifaceCanReach === undefined ? undefined : await host.routeTo(ifaceCanReach),
    current,
  };
  const choice = needsEtcd(wishes, facts)
    ? decideInterface(wishes, { ...facts, etcd: await waysToEtcd(wishes, host, asked.families) })
    : decideInterface(wishes, facts);
  if (choice.chosen?.v6 === undefined) return choice;
  const { name, onLink } = choice.chosen;
  return {
    ...choice,
    chosen: { ...choice.chosen, onLink: distinct([...onLink, ...(await host.linkRoutes(name))]) },
  };
}

async function waysToEtcd(
  { etcdEndpoints }: InterfaceWishes,
  host: HostNetwork,
  families: readonly Family[],
): Promise<EtcdWay[]> {
  const ways = etcdEndpoints.map((url) => waysTo(new URL(url).hostname, host, families));
  return (await Promise.all(ways)).flat();
}

async function waysTo(name: string, host: HostNetwork, families: readonly Family[]): Promise<EtcdWay[]> {
  const literal = Ip.tryParse(name.replace(/^\[(.*)\]$/, '$1'));
  const addresses =
    literal === undefined
      ? (await host.resolve(name)).map(Ip.parse).filter(({ family }) => families.includes(family))
      : [literal];
  if (addresses.length === 0) return [{ host: name }];
  // An etcd on the loopback device tells nothing.
  return await Promise.all(
    addresses.filter(isHostAddress).map(async (address) => {
      const way = await host.routeTo(address.toString());
      return { host: name, address, ...(way !== undefined && { way }) };
    }),
  );
}
