import { CorduroyError } from '../errors.ts';
import { Ip } from '../net/ip.ts';
import { run } from './exec.ts';
import { addressesOf, readLinks } from './observe.ts';
import type { ExternalInterface, InterfaceAddress } from './state.ts';

/** An interface of this host, as far as the choice of one depends on it. */
export interface Interface {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly InterfaceAddress[];
}

export interface InterfaceWishes {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string | undefined;
  readonly publicIp: string | undefined;
}

export interface HostNetwork {
  readonly interfaces: readonly Interface[];
  /** Device and source address of the route to an address; of the default route without one. */
  readonly routeTo: (
    address?: string,
  ) => Promise<{ readonly device: string; readonly source?: string } | undefined>;
}

export async function readHostNetwork(): Promise<HostNetwork> {
  const links = await readLinks();
  return {
    interfaces: links.map((link) => ({
      name: link.ifname,
      mac: link.address ?? '',
      mtu: link.mtu,
      addresses: addressesOf(link),
    })),
    routeTo: async (address) => {
      const words = address === undefined ? ['show', 'default'] : ['get', address];
      const { stdout } = await run('ip', ['-j', '-4', 'route', ...words], { allowFailure: true });
      return stdout.trim() === '' ? undefined : firstWay(JSON.parse(stdout) as RouteAnswer[]);
    },
  };
}

/** The part of `ip -j route` that is read; the kernel gives the route of the lowest metric first. */
interface RouteAnswer extends NextHop {
  readonly prefsrc?: string;
  /** Of a route with several ways: it has no device of its own then. */
  readonly nexthops?: readonly NextHop[];
}

interface NextHop {
  readonly dev?: string;
  /** `dead`: the kernel does not use it. */
  readonly flags?: readonly string[];
}

/** The first way out that the kernel uses. */
export function firstWay(
  routes: readonly RouteAnswer[],
): { readonly device: string; readonly source?: string } | undefined {
  for (const { prefsrc, nexthops, ...own } of routes) {
    const way = (nexthops ?? [own]).find(({ dev, flags }) => dev !== undefined && !flags?.includes('dead'));
    if (way?.dev !== undefined) return { device: way.dev, ...(prefsrc !== undefined && { source: prefsrc }) };
  }
  return undefined;
}

/**
 * Flannel's order: --iface, --iface-regex (addresses first, then names), --iface-can-reach; else the interface that
 * has --public-ip; else the one of the default route.
 *
 * @throws CorduroyError `no-interface`, retryable, with what there is to choose from
 */
export async function chooseInterface(
  wishes: InterfaceWishes,
  host: HostNetwork,
): Promise<ExternalInterface> {
  const usable = host.interfaces.filter((one) => ipv4Of(one).length > 0);
  const chosen = (one: Interface, why: string, wanted?: Ip): ExternalInterface => {
    // An IPv6 address says which interface is meant; what is published and listened on is IPv4.
    const address = wanted?.family === 4 ? wanted : ipv4Of(one)[0];
    if (address === undefined) return fail(`${one.name} has no IPv4 address`);
    const publicIp = wishes.publicIp === undefined ? address : Ip.parse(wishes.publicIp);
    return { name: one.name, mac: one.mac, mtu: one.mtu, address, publicIp, why };
  };
  const fail = (text: string): never => {
    const offers = usable.map((one) => `${one.name} (${ipv4Of(one).join(', ')})`).join(', ');
    throw new CorduroyError(
      'no-interface',
      `${text}. This host has: ${offers || 'no interface with an IPv4 address'}`,
      {
        retryable: true,
      },
    );
  };

  for (const wish of wishes.iface) {
    const address = Ip.tryParse(wish);
    const found = usable.find(
      (one) => one.name === wish || (address !== undefined && hasAddress(one, address)),
    );
    if (found !== undefined) return chosen(found, `--iface ${wish} is there`, address);
  }
  for (const pattern of wishes.ifaceRegex) {
    const regex = new RegExp(pattern);
    for (const one of usable) {
      const address = ipv4Of(one).find((ip) => regex.test(ip.toString()));
      if (address !== undefined)
        return chosen(one, `its address ${address} matches --iface-regex ${pattern}`, address);
    }
    const named = usable.find((one) => regex.test(one.name));
    if (named !== undefined) return chosen(named, `its name matches --iface-regex ${pattern}`);
  }
  if (wishes.ifaceCanReach !== undefined) {
    const target = Ip.parse(wishes.ifaceCanReach);
    const local = usable.find((one) => hasAddress(one, target)); // The route to it would be lo's.
    if (local !== undefined)
      return chosen(local, `it has the address of --iface-can-reach ${target}`, target);
    const route = await host.routeTo(wishes.ifaceCanReach);
    const found = usable.find(({ name }) => name === route?.device);
    const source = route?.source === undefined ? undefined : Ip.tryParse(route.source);
    if (found !== undefined)
      return chosen(found, `the route to --iface-can-reach ${wishes.ifaceCanReach} leaves by it`, source);
  }
  if (wishes.iface.length > 0 || wishes.ifaceRegex.length > 0 || wishes.ifaceCanReach !== undefined) {
    const wished = [
      ...wishes.iface.map((text) => `--iface ${text}`),
      ...wishes.ifaceRegex.map((text) => `--iface-regex ${text}`),
      ...(wishes.ifaceCanReach === undefined ? [] : [`--iface-can-reach ${wishes.ifaceCanReach}`]),
    ];
    return fail(`no interface with an IPv4 address fits ${wished.join(', ')}`);
  }
  if (wishes.publicIp !== undefined) {
    const address = Ip.parse(wishes.publicIp);
    const found = usable.find((one) => hasAddress(one, address));
    if (found !== undefined) return chosen(found, `it has --public-ip ${address}`, address);
  }
  const route = await host.routeTo();
  if (route === undefined)
    return fail('there is no default route, so the interface has to be named with --iface');
  const found = usable.find(({ name }) => name === route.device);
  if (found === undefined)
    return fail(
      `the default route leaves by ${route.device}, which has no IPv4 address: name an interface with --iface`,
    );
  return chosen(found, 'the default route leaves by it');
}

function ipv4Of({ addresses }: Interface): Ip[] {
  return addresses.map(({ ip }) => ip).filter(({ family }) => family === 4);
}

function hasAddress(one: Interface, address: Ip): boolean {
  return one.addresses.some(({ ip }) => ip.equals(address));
}
