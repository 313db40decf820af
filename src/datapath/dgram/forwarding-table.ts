import { CorduroyError } from '../../errors.ts';
import type { Ip } from '../../net/ip.ts';
import { PrefixMap } from '../../net/prefix-map.ts';
import type { Route, RouteDelta, RouteTable } from '../datapath.ts';

/** An outer address that routes lead to, and what went there and came from there. The counters outlive table swaps. */
export interface Peer {
  readonly address: Ip;
  /** The address as text, as the socket wants it and gives it. */
  readonly host: string;
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
}

export interface NextHop {
  readonly peer: Peer;
  readonly port: number;
}

/** A route table in the form that forwarding reads. Never changed after it was built: a swap is one assignment. */
export interface ForwardingTable {
  readonly source: RouteTable;
  readonly local: PrefixMap<true>;
  readonly nextHops: PrefixMap<NextHop>;
  /** By `host`. */
  readonly peers: ReadonlyMap<string, Peer>;
}

/** @param previous the table whose counters go on, for the peers that are in both */
export function buildTable(source: RouteTable, previous?: ForwardingTable): ForwardingTable {
  const peers = new Map<string, Peer>();
  const nextHops = new PrefixMap<NextHop>();
  for (const { prefix, peer: endpoint } of source.routes) {
    const host = endpoint.address.toString();
    const peer = peers.get(host) ?? previous?.peers.get(host) ?? newPeer(endpoint.address, host);
    peers.set(host, peer);
    nextHops.set(prefix, { peer, port: endpoint.port });
  }
  const local = new PrefixMap<true>(source.local.map((prefix) => [prefix, true] as const));
  return { source, local, nextHops, peers };
}

export const EMPTY_TABLE: ForwardingTable = buildTable({ generation: 0n, local: [], routes: [] });

/** @throws CorduroyError `conflict` when the table is of another generation than the delta starts from */
export function patchTable(table: ForwardingTable, delta: RouteDelta): ForwardingTable {
  const { generation, local, routes } = table.source;
  if (generation !== delta.from) {
    throw new CorduroyError(
      'conflict',
      `the change starts from generation ${delta.from}, and the table is of generation ${generation}: send the whole table`,
    );
  }
  const byPrefix = new Map<string, Route>(routes.map((route) => [route.prefix.toString(), route]));
  for (const prefix of delta.remove) byPrefix.delete(prefix.toString());
  for (const route of delta.set) byPrefix.set(route.prefix.toString(), route);
  return buildTable({ generation: delta.to, local, routes: [...byPrefix.values()] }, table);
}

function newPeer(address: Ip, host: string): Peer {
  return { address, host, sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0 };
}
