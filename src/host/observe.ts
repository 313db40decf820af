import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { run } from './exec.ts';
import type { InterfaceAddress, ObservedHost, ObservedLink, RouteState } from './state.ts';

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
  readonly txqlen?: number;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: { readonly multi_queue?: boolean };
  };
  readonly addr_info?: readonly {
    readonly local?: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

interface RouteRecord {
  readonly type?: string;
  readonly dst: string;
  readonly dev?: string;
  readonly metric?: number;
}

/** Reads links, addresses and the routes of the given protocol number: three calls of ip, whatever the host has. */
export async function observeHost(protocol: number): Promise<ObservedHost> {
  const [links, v4, v6] = await Promise.all([
    readLinks(),
    readRoutes('-4', protocol),
    readRoutes('-6', protocol),
  ]);
  return { links: links.map(observedLink), routes: [...v4, ...v6] };
}

export async function readLinks(): Promise<LinkRecord[]> {
  return parseJson(await run('ip', ['-j', '-d', 'address', 'show']));
}

async function readRoutes(family: '-4' | '-6', protocol: number): Promise<RouteState[]> {
  const args = ['-j', '-d', family, 'route', 'show', 'table', 'main', 'proto', String(protocol)];
  return parseJson<RouteRecord>(await run('ip', args, { allowFailure: family === '-6' })).flatMap(routeState);
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

function routeState({ type = 'unicast', dst, dev, metric = 0 }: RouteRecord): RouteState[] {
  const text = dst === 'default' ? '0.0.0.0/0' : dst;
  const ip = Ip.tryParse(text);
  const prefix = ip === undefined ? Prefix.parse(text) : Prefix.of(ip, ip.family === 4 ? 32 : 128);
  if (type === 'blackhole') return [{ type, prefix, metric }];
  return type === 'unicast' && dev !== undefined ? [{ type, prefix, device: dev }] : [];
}
