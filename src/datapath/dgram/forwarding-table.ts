import { CorduroyError } from '../../errors.ts';
import type { Endpoint } from '../../net/endpoint.ts';
import type { Ip } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { RouteDelta, RouteTable } from '../datapath.ts';
import { PrefixTrie, type TrieEdit } from './prefix-trie.ts';

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

/** A route table in the form that forwarding reads. Never changed after it was made: a swap is one assignment. */
export interface ForwardingTable {
  readonly generation: bigint;
  readonly local: PrefixTrie<true>;
  readonly nextHops: PrefixTrie<NextHop>;
  /** By `host`. */
  readonly peers: ReadonlyMap<string, Peer>;
  /** How many routes lead to each. */
  readonly routesTo: ReadonlyMap<Peer, number>;
}

/** @param previous the table whose counters go on, for the peers that are in both */
export function buildTable(source: RouteTable, previous: ForwardingTable = EMPTY_TABLE): ForwardingTable {
  const peers = new PeerEdit(new Map(), new Map(), previous.peers);
  const local = PrefixTrie.empty<true>().changed((edit) => {
    for (const prefix of source.local) edit.set(prefix, true);
  });
  const nextHops = PrefixTrie.empty<NextHop>().changed((edit) => {
    for (const { prefix, peer } of source.routes) setRoute(edit, peers, prefix, peer);
  });
  return { generation: source.generation, local, nextHops, ...peers };
}

/**
 * Costs what it changes, and a copy of the map of peers.
 * @throws CorduroyError `conflict` when the table is of another generation than the delta starts from
 */
export function patchTable(table: ForwardingTable, delta: RouteDelta): ForwardingTable {
  const { generation, local } = table;
  if (generation !== delta.from) {
    throw new CorduroyError(
      'conflict',
      `the change starts from generation ${delta.from}, and the table is of generation ${generation}: send the whole table`,
    );
  }
  const peers = new PeerEdit(new Map(table.peers), new Map(table.routesTo), table.peers);
  const nextHops = table.nextHops.changed((edit) => {
    for (const prefix of delta.remove) peers.release(edit.remove(prefix)?.peer);
    for (const { prefix, peer } of delta.set) setRoute(edit, peers, prefix, peer);
  });
  return { generation: delta.to, local, nextHops, ...peers };
}

function setRoute(edit: TrieEdit<NextHop>, peers: PeerEdit, prefix: Prefix, endpoint: Endpoint): void {
  const before = edit.set(prefix, { peer: peers.take(endpoint.address), port: endpoint.port });
  peers.release(before?.peer);
}

/** The peers of a table in the making: each as long as any route leads to it. */
class PeerEdit {
  readonly peers: Map<string, Peer>;
  readonly routesTo: Map<Peer, number>;
  readonly #known: ReadonlyMap<string, Peer>;

  /** @param known the peers that keep their counters */
  constructor(peers: Map<string, Peer>, routesTo: Map<Peer, number>, known: ReadonlyMap<string, Peer>) {
    this.peers = peers;
    this.routesTo = routesTo;
    this.#known = known;
  }

  /** The peer, for one more route. */
  take(address: Ip): Peer {
    const host = address.toString();
    const peer = this.peers.get(host) ?? this.#known.get(host) ?? newPeer(address, host);
    this.peers.set(host, peer);
    this.routesTo.set(peer, (this.routesTo.get(peer) ?? 0) + 1);
    return peer;
  }

  /** One route less leads there. */
  release(peer: Peer | undefined): void {
    if (peer === undefined) return;
    const routes = (this.routesTo.get(peer) ?? 0) - 1;
    if (routes > 0) {
      this.routesTo.set(peer, routes);
    } else {
      this.routesTo.delete(peer);
      this.peers.delete(peer.host);
    }
  }
}

function newPeer(address: Ip, host: string): Peer {
  return { address, host, sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0 };
}

export const EMPTY_TABLE: ForwardingTable = {
  generation: 0n,
  local: PrefixTrie.empty(),
  nextHops: PrefixTrie.empty(),
  peers: new Map(),
  routesTo: new Map(),
};
