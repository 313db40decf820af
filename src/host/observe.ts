import { ADDRESS_BITS, type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { run } from './exec.ts';
import { observeVxlan } from './observe-vxlan.ts';
import type {
  InterfaceAddress,
  LinkState,
  ObservedHost,
  ObservedLink,
  ObservedTunnel,
  RouteState,
  VxlanTables,
} from './state.ts';

/** The part of `ip -j -d address show` that is read. */
export interface LinkRecord {
  readonly ifindex?: number;
  readonly ifname: string;
  /** The bridge (or bond) it is a port of. */
  readonly master?: string;
  /** Hardware address. */
  readonly address?: string;
  readonly ifalias?: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  /** What it is on top of. */
  readonly link?: string;
  readonly txqlen?: number;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: TunRecord & TunnelRecord;
  };
  readonly addr_info?: readonly {
    readonly local?: string;
    readonly prefixlen: number;
    readonly scope: string;
    /** It was given for a time, by DHCP or by a router's advertisement. */
    readonly dynamic?: boolean;
    readonly deprecated?: boolean;
    readonly temporary?: boolean;
    readonly tentative?: boolean;
    readonly dadfailed?: boolean;
  }[];
}

interface TunRecord {
  readonly multi_queue?: boolean;
}

/** Of a VXLAN, all but the first three. */
interface TunnelRecord {
  readonly local?: string;
  readonly local6?: string;
  readonly link?: string;
  readonly id?: number;
  readonly port?: number;
  readonly learning?: boolean;
  readonly gbp?: boolean;
}

/** One way of a route. */
interface WayRecord {
  readonly dev?: string;
  readonly gateway?: string;
  /** A gateway of another family. */
  readonly via?: { readonly host?: string };
  readonly flags?: readonly string[];
}

export interface RouteRecord extends WayRecord {
  readonly type?: string;
  readonly dst: string;
  readonly metric?: number;
  readonly nexthops?: readonly WayRecord[];
}

/**
 * Reads links, addresses and the routes of the given protocol number: three calls of ip, whatever the host has, and for
 * each VXLAN of those wanted two more.
 */
export async function observeHost(
  protocol: number,
  wanted: readonly LinkState[] = [],
): Promise<ObservedHost> {
  const [records, v4, v6] = await Promise.all([
    readLinks(),
    readRoutes('-4', protocol),
    readRoutes('-6', protocol),
  ]);
  const links = records.map(observedLink);
  return { links, routes: [...v4, ...v6], vxlans: await observeVxlans(links, wanted) };
}

async function observeVxlans(
  links: readonly ObservedLink[],
  wanted: readonly LinkState[],
): Promise<Map<string, VxlanTables>> {
  const names = new Set(links.filter(({ kind }) => kind === 'vxlan').map(({ name }) => name));
  const present = wanted.filter((link) => link.kind === 'vxlan').filter(({ name }) => names.has(name));
  return new Map(
    await Promise.all(present.map(async (link) => [link.name, await observeVxlan(link)] as const)),
  );
}

export async function readLinks(): Promise<LinkRecord[]> {
  return parseJson(await run('ip', ['-j', '-d', 'address', 'show']));
}

async function readRoutes(family: '-4' | '-6', protocol: number): Promise<RouteState[]> {
  const args = ['-j', '-d', family, 'route', 'show', 'table', 'main', 'proto', String(protocol)];
  return parseJson<RouteRecord>(await run('ip', args, { allowFailure: family === '-6' })).flatMap(
    routeStates,
  );
}

function parseJson<T>({ stdout }: { readonly stdout: string }): T[] {
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[]);
}

export function observedLink(record: LinkRecord): ObservedLink {
  return {
    name: record.ifname,
    kind: record.linkinfo?.info_kind ?? '',
    multiQueue: record.linkinfo?.info_data?.multi_queue === true,
    alias: record.ifalias ?? '',
    up: record.flags.includes('UP'),
    mtu: record.mtu,
    queueLength: record.txqlen ?? 0,
    addresses: addressesOf(record),
    ...(record.address !== undefined && { mac: record.address }),
    ...tunnelOf(record),
    ...(record.ifindex !== undefined && { index: record.ifindex }),
    ...(record.master !== undefined && { master: record.master }),
  };
}

/** All but link-local ones. */
export function addressesOf(record: LinkRecord): InterfaceAddress[] {
  return (record.addr_info ?? []).flatMap(({ local, prefixlen, scope }) =>
    local === undefined || scope === 'link' ? [] : [{ ip: Ip.parse(local), length: prefixlen }],
  );
}

function tunnelOf({ link: under, linkinfo: { info_kind: kind, info_data: data = {} } = {} }: LinkRecord): {
  readonly tunnel?: ObservedTunnel;
} {
  if (kind !== 'vxlan' && kind !== 'ipip') return {};
  const local = Ip.tryParse(data.local ?? data.local6 ?? '');
  const device = data.link ?? under;
  const { id: vni = 0, port = 0, learning = false, gbp = false } = data;
  const tunnel = {
    ...(local && { local }),
    ...(device !== undefined && { device }),
    ...(kind === 'vxlan' && { vxlan: { vni, port, learning, gbp } }),
  };
  return { tunnel };
}

const DEFAULT_METRIC: Readonly<Record<Family, number>> = { 4: 0, 6: 1024 };

/** A route of several ways, which Corduroy never adds, becomes one for each: they differ from what is wanted, and go. */
export function routeStates(record: RouteRecord): RouteState[] {
  const { type = 'unicast', dst, nexthops = [record] } = record;
  const prefix = destination(dst);
  if (prefix === undefined) return [];
  const metric = record.metric ?? DEFAULT_METRIC[prefix.family];
  if (type === 'blackhole') return [{ type, prefix, metric }];
  if (type !== 'unicast') return [];
  return nexthops.flatMap(({ dev, gateway, via, flags = [] }) => {
    if (dev === undefined) return [];
    const ip = Ip.tryParse(gateway ?? via?.host ?? '');
    return [
      {
        type,
        prefix,
        device: dev,
        ...(ip && { gateway: ip }),
        ...(flags.includes('onlink') && { onlink: true as const }),
        ...(metric !== DEFAULT_METRIC[prefix.family] && { metric }),
      },
    ];
  });
}

/** @returns `undefined` for `default`, which is none of Corduroy's, and for what nobody can read */
function destination(text: string): Prefix | undefined {
  const [address = '', length] = text.split('/');
  const ip = Ip.tryParse(address);
  if (ip === undefined) return undefined;
  const bits = length === undefined ? ADDRESS_BITS[ip.family] : Number(length);
  return bits >= 0 && bits <= ADDRESS_BITS[ip.family] ? Prefix.of(ip, bits) : undefined;
}
