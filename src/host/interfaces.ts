import { lookup } from 'node:dns/promises';
import { CorduroyError } from '../errors.ts';
import { isHostAddress } from '../net/host-address.ts';
import { Ip } from '../net/ip.ts';
import { run } from './exec.ts';
import { type EtcdWay, type HostFacts, type Interface, ipv4Of, type Way } from './host-facts.ts';
import {
  decideInterface,
  type InterfaceChoice,
  type InterfaceWishes,
  needsEtcd,
} from './interface-choice.ts';
import { addressesOf, type LinkRecord, readLinks } from './observe.ts';
import { Resolver } from './resolver.ts';
import type { ExternalInterface } from './state.ts';

export interface HostNetwork {
  readonly interfaces: readonly Interface[];
  /** Best first. */
  readonly defaultRoutes: () => Promise<readonly Way[]>;
  readonly routeTo: (address: string) => Promise<Way | undefined>;
  /** The IPv4 addresses of a name; none when it cannot be resolved. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
}

const resolver = new Resolver(async (name) =>
  (await lookup(name, { all: true, family: 4 })).map(({ address }) => address),
);

export async function readHostNetwork(): Promise<HostNetwork> {
  return {
    interfaces: (await readLinks()).map(interfaceOf),
    defaultRoutes: () => readWays('show', 'default'),
    routeTo: async (address) => (await readWays('get', address))[0],
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
    addresses: addressesOf(link),
  };
}

async function readWays(...words: string[]): Promise<Way[]> {
  const { stdout } = await run('ip', ['-j', '-4', 'route', ...words], { allowFailure: true });
  return stdout.trim() === '' ? [] : waysOf(JSON.parse(stdout) as RouteAnswer[]);
}

/** The part of `ip -j route` that is read; the kernel gives the route of the lowest metric first. */
interface RouteAnswer extends NextHop {
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
  return routes.flatMap(({ prefsrc, nexthops, ...own }) =>
    (nexthops ?? [own]).flatMap(({ dev, gateway, flags }) =>
      dev === undefined || flags?.includes('dead')
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
 * @param current name of the interface that has been in use until now
 * @throws CorduroyError `no-interface`, retryable, with what there is to choose from
 */
export async function chooseInterface(
  wishes: InterfaceWishes,
  host: HostNetwork,
  current?: string,
): Promise<ExternalInterface> {
  const { chosen, problem } = await explainInterface(wishes, host, current);
  if (chosen !== undefined) return chosen;
  const offers = host.interfaces
    .map((one) => ({ name: one.name, addresses: ipv4Of(one) }))
    .filter(({ addresses }) => addresses.length > 0)
    .map(({ name, addresses }) => `${name} (${addresses.join(', ')})`);
  const text = `${problem}. This host has: ${offers.join(', ') || 'no interface with an IPv4 address'}`;
  throw new CorduroyError('no-interface', text, { retryable: true });
}

/** The choice, and what it was made from. */
export async function explainInterface(
  wishes: InterfaceWishes,
  host: HostNetwork,
  current?: string,
): Promise<InterfaceChoice> {
  const { ifaceCanReach } = wishes;
  const facts: HostFacts = {
    interfaces: host.interfaces,
    defaults: await host.defaultRoutes(),
    canReach: ifaceCanReach === undefined ? undefined : await host.routeTo(ifaceCanReach),
    current,
  };
  if (!needsEtcd(wishes, facts)) return decideInterface(wishes, facts);
  const etcd = await Promise.all(wishes.etcdEndpoints.map((url) => waysToEtcd(new URL(url).hostname, host)));
  return decideInterface(wishes, { ...facts, etcd: etcd.flat() });
}

async function waysToEtcd(name: string, host: HostNetwork): Promise<EtcdWay[]> {
  const literal = Ip.tryParse(name.replace(/^\[(.*)\]$/, '$1'));
  const addresses = literal === undefined ? (await host.resolve(name)).map(Ip.parse) : [literal];
  if (addresses.length === 0) return [{ host: name }];
  // An etcd on the loopback device tells nothing.
  return await Promise.all(
    addresses.filter(isHostAddress).map(async (address) => {
      const way = address.family === 4 ? await host.routeTo(address.toString()) : undefined;
      return { host: name, address, ...(way !== undefined && { way }) };
    }),
  );
}
