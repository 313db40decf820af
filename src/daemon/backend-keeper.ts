import type {
  Backend,
  BackendContext,
  BackendInput,
  BackendNeeds,
  BackendState,
  OperatorCommand,
  WireguardKey,
} from '../backend/backend.ts';
import { smallestInner } from '../backend/inner-mtu.ts';
import { CorduroyError } from '../errors.ts';
import {
  type ExternalInterface,
  formatRoute,
  type HostState,
  type RouteState,
  routeDestination,
} from '../host/state.ts';
import type { LeaseAttributes } from '../lease/lease-record.ts';
import type { RejectedLease, StoredLease } from '../lease/lease-table.ts';
import type { Family } from '../net/ip.ts';
import type { Log } from '../observe/log.ts';
import type { UsableConfig } from './network-view.ts';

/**
 * Milliseconds for which the backend before goes on at the most, from when this host itself has followed: hosts that have
 * not by then are named. A backend that no host can bring about is no reason to leave the one that all still go by.
 */
const LEAVE_WITHIN = 60_000;
/** Milliseconds for which it goes on when nobody needs it any more: the others may not have heard of this host yet. */
const LEAVE_AFTER = 3000;

/** Bytes. */
const MIN_IPV6_MTU = smallestInner([6]);

export interface BackendKeeperOptions {
  /** Makes those that are not there yet. @throws CorduroyError `host-file` */
  readonly wireguardKeys: (names: readonly string[]) => ReadonlyMap<string, WireguardKey>;
  /** @returns what it printed, trimmed. @throws CorduroyError `host-command` */
  readonly runStart: (command: OperatorCommand) => Promise<string>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly log: Log;
}

export type OpenContext = Omit<BackendContext, 'wireguardKeys' | 'printed' | 'families'>;

/** What is brought about now. */
export interface Succession {
  readonly state: BackendState;
  /** Whose hosts cannot be reached. */
  readonly rejected: readonly Refusal[];
  /** Whose hosts can be reached in one family, and not in the other. */
  readonly gaps: readonly RejectedLease[];
}

interface Refusal {
  readonly lease: StoredLease;
  readonly reason: string;
}

interface Leaving {
  readonly backend: Backend;
  /** By key: the leases that it served when it was left. */
  readonly known: ReadonlyMap<string, StoredLease>;
  /** When it ends at the latest. */
  until: number;
  /** When nobody needed it any more. */
  emptyAt: number;
}

/**
 * Keeps the backend that the network config asks for. When that becomes another one, both go on side by side until every
 * host has followed: packets to a host leave by the backend that its lease speaks of, and are taken from either.
 */
export class BackendKeeper {
  readonly #options: BackendKeeperOptions;
  #backend: Backend | undefined;
  #openedFor: { readonly config: UsableConfig; readonly iface: unknown; readonly keys: string } | undefined;
  #printed: { readonly command: string; readonly text: string } | undefined;
  #leaving: Leaving | undefined;
  /** Whether this host's own lease says that it goes by the current one. */
  #isPublished = false;
  #lastPeers: readonly StoredLease[] = [];

  constructor(options: BackendKeeperOptions) {
    this.#options = options;
  }

  get current(): Backend | undefined {
    return this.#backend;
  }

  /** The one that is being left. */
  get leaving(): Backend | undefined {
    return this.#leaving?.backend;
  }

  /** Bytes: what containers may send in one packet. While some leave by the backend before, that has its say, too. */
  get mtu(): number | undefined {
    const all = [this.#backend, this.#leaving?.backend].flatMap((one) =>
      one === undefined ? [] : [one.mtu],
    );
    return all.length === 0 ? undefined : Math.min(...all);
  }

  /** When `succeed` has something else to say, whatever else happens; monotonic milliseconds. */
  get dueAt(): number {
    if (this.#leaving === undefined) return Number.POSITIVE_INFINITY;
    return Math.min(this.#leaving.until, this.#leaving.emptyAt + LEAVE_AFTER);
  }

  /**
   * The backend of a network config: the same object for as long as nothing it depends on has changed.
   * @throws CorduroyError `host-file`, `host-command` where what it needs cannot be had; `no-interface`
   */
  async ensure(config: UsableConfig, context: OpenContext): Promise<Backend> {
    const { needs = {} } = config.backend;
    const wireguardKeys = this.#options.wireguardKeys(needs.wireguardKeys ?? []);
    const keys = [...wireguardKeys.values()].map(({ publicKey }) => publicKey).join(' ');
    const before = this.#openedFor;
    if (
      this.#backend !== undefined &&
      before?.config === config &&
      before.iface === context.iface &&
      before.keys === keys
    )
      return this.#backend;
    const opened = await this.#open(config, context, wireguardKeys);
    if (this.#backend !== undefined && before?.config !== config && !isAlike(this.#backend, opened))
      this.#leave(this.#backend, opened);
    this.#backend = opened;
    this.#openedFor = { config, iface: context.iface, keys };
    for (const warning of opened.warnings) this.#options.log.warn(warning);
    return opened;
  }

  /** Whether the backend of a network config can be opened. @throws as `ensure` */
  async rehearse(config: UsableConfig, context: OpenContext): Promise<void> {
    const { needs = {} } = config.backend;
    await this.#open(config, context, this.#options.wireguardKeys(needs.wireguardKeys ?? []));
  }

  async #open(
    { network, backend: { needs = {}, open } }: UsableConfig,
    context: OpenContext,
    wireguardKeys: BackendContext['wireguardKeys'],
  ): Promise<Backend> {
    const families = network.ranges.map((range) => range.network.family);
    const opened = open({ ...context, families, wireguardKeys, printed: await this.#print(needs) });
    requireRoom(opened, families, context.iface);
    return opened;
  }

  /**
   * What the host should hold, with regard to the backend that is being left.
   * @param published what this host's own lease says: while it is not of the new backend, the others do not send by that
   */
  succeed(backend: Backend, input: BackendInput, published?: LeaseAttributes): Succession {
    const peers: StoredLease[] = [];
    const rejected: Refusal[] = [];
    const gaps: RejectedLease[] = [];
    const claims = new Map<string, string>();
    for (const lease of input.peers) {
      const reason = backend.objectionTo(lease) ?? claimedAlready(lease, backend, claims);
      if (reason !== undefined) {
        rejected.push({ lease, reason });
        continue;
      }
      peers.push(lease);
      const gap = backend.gapIn?.(lease);
      if (gap !== undefined) gaps.push({ entry: lease.entry, reason: `in part: ${gap}` });
    }
    this.#lastPeers = input.peers;
    this.#isPublished = published === undefined || dataOf(published) === dataOf(backend.attributes);
    const state = backend.desired({ ...input, peers });
    const leaving = this.#leaving;
    if (leaving === undefined) return { state, rejected, gaps };
    const { now, log } = this.#options;
    const staying = new Set(input.peers.filter((lease) => stays(lease, leaving, backend)));
    if (this.#isPublished) leaving.until = Math.min(leaving.until, now() + LEAVE_WITHIN);
    leaving.emptyAt =
      staying.size > 0 || !this.#isPublished ? Number.POSITIVE_INFINITY : Math.min(leaving.emptyAt, now());
    if (now() >= this.dueAt) {
      if (leaving.backend.type !== backend.type)
        log.info(
          `the ${leaving.backend.type} backend is left: ${summaryOf(staying.size, leaving.backend, backend)}`,
        );
      this.#leaving = undefined;
      return { state, rejected, gaps };
    }
    // Also what was known of those that have followed: they may not have heard yet that this host has.
    const oldPeers = input.peers.flatMap((lease) =>
      staying.has(lease) ? [lease] : (leaving.known.get(lease.entry.key) ?? []),
    );
    const old = leaving.backend.desired({ ...input, peers: oldPeers });
    return {
      state: both(state, old, input, staying),
      rejected: rejected.filter(({ lease }) => !staying.has(lease)),
      gaps,
    };
  }

  #leave(before: Backend, next: Backend): void {
    // One in between that nobody was told of is passed over: this host is known by the one before that.
    const leaving = this.#isPublished ? undefined : this.#leaving;
    const left = leaving?.backend ?? before;
    if (before.type !== next.type) {
      this.#options.log.warn(
        `the backend changes from ${before.type} to ${next.type}: hosts that have not followed are reached by ` +
          `${left.type} until they have, for ${LEAVE_WITHIN / 1000} s at the most from when this host has`,
      );
    }
    if (isAlike(left, next)) this.#leaving = undefined;
    if (leaving !== undefined) return;
    const known = this.#lastPeers.filter((lease) => before.objectionTo(lease) === undefined);
    this.#leaving = {
      backend: before,
      known: new Map(known.map((lease) => [lease.entry.key, lease])),
      until: Number.POSITIVE_INFINITY,
      emptyAt: Number.POSITIVE_INFINITY,
    };
    this.#isPublished = false;
  }

  /** Once for each command: a daemon that only has another address now does not start the operator's things again. */
  async #print({ startCommand }: BackendNeeds): Promise<string> {
    if (startCommand === undefined) return '';
    const command = JSON.stringify(startCommand);
    if (this.#printed?.command !== command)
      this.#printed = { command, text: await this.#options.runStart(startCommand) };
    return this.#printed.text;
  }
}

/** @param claims of the peers with older leases, and their keys: those of this one are added */
function claimedAlready(
  lease: StoredLease,
  { claimsOf }: Backend,
  claims: Map<string, string>,
): string | undefined {
  const own = claimsOf?.(lease) ?? [];
  const double = own.find((claim) => claims.has(claim));
  if (double !== undefined) return `its ${double} is that of ${claims.get(double)}, too, which is older`;
  for (const claim of own) claims.set(claim, lease.entry.key);
  return undefined;
}

/** @throws CorduroyError `no-interface`: the kernel has no IPv6 on a device of less than 1280 bytes (RFC 8200 5) */
function requireRoom({ type, mtu }: Backend, families: readonly Family[], iface: ExternalInterface): void {
  if (mtu >= MIN_IPV6_MTU || !families.includes(6)) return;
  throw new CorduroyError(
    'no-interface',
    `the MTU of ${iface.name}, ${iface.mtu}, leaves ${mtu} bytes for a packet with the ${type} backend, and IPv6 needs ` +
      `${MIN_IPV6_MTU}: raise it by ${MIN_IPV6_MTU - mtu}, choose another --iface, or set EnableIPv6 to false`,
  );
}

/**
 * Whether a lease says that its host still goes by the backend that is being left. Of udp and alloc it says nothing; of
 * another design of the same type, that it was written anew says that its host has followed.
 */
function stays(lease: StoredLease, { backend: old, known }: Leaving, next: Backend): boolean {
  const { backendType } = lease.attributes;
  const isOld =
    backendType === undefined ? old.type === 'udp' || old.type === 'alloc' : backendType === old.type;
  if (!isOld || old.objectionTo(lease) !== undefined) return false;
  if (old.type !== next.type || next.objectionTo(lease) !== undefined) return true;
  return known.get(lease.entry.key)?.entry.modRevision === lease.entry.modRevision;
}

function summaryOf(staying: number, { attributes: old }: Backend, { attributes: now }: Backend): string {
  if (staying === 0) return 'every host has followed';
  return old.backendType === now.backendType
    ? 'what hosts say in their leases is the same, so who has followed is not known'
    : `hosts that have not followed within ${LEAVE_WITHIN / 1000} s: ${staying} (corduroy status names them)`;
}

/** Whether what hosts send by the one, the other takes: both say the same of it in the lease. */
function isAlike(one: Backend, other: Backend): boolean {
  return one.type === other.type && dataOf(one.attributes) === dataOf(other.attributes);
}

/** What a lease says of how its host is reached, beside the addresses. */
function dataOf({ backendType, backendData, backendV6Data }: LeaseAttributes): string {
  return JSON.stringify([backendType, backendData, backendV6Data]);
}

/**
 * Where they want the same link, or a route to the same destination, the first has its way. Of a whole network, what stays
 * with the other is routed apart.
 *
 * @param staying those that go by the old one
 */
function both(
  state: BackendState,
  old: BackendState,
  { ranges }: BackendInput,
  staying: ReadonlySet<StoredLease>,
): BackendState {
  const networks = new Set(ranges.map(({ network }) => network.toString()));
  const names = new Set(state.host.links.map(({ name }) => name));
  const destinations = new Set(state.host.routes.map(destinationOf));
  const links = old.host.links.filter(({ name }) => !names.has(name));
  const kept = new Set(links.map(({ name }) => name));
  const oldNames = new Set(old.host.links.map(({ name }) => name));
  const isFree = (route: RouteState) => !destinations.has(destinationOf(route));
  const isKept = (route: RouteState) =>
    isFree(route) && (route.type !== 'unicast' || kept.has(route.device) || !oldNames.has(route.device));
  const apart = old.host.routes.flatMap((route) => {
    if (route.type !== 'unicast' || isFree(route) || !kept.has(route.device)) return [];
    // No other route covers a subnet of a peer but its own, which is wished already: of thousands, none is gone through.
    if (!networks.has(route.prefix.toString())) return [];
    const subnets = [...staying].flatMap((lease) => lease.subnets);
    return subnets.filter((prefix) => route.prefix.covers(prefix)).map((prefix) => ({ ...route, prefix }));
  });
  const host: HostState = {
    links: [...state.host.links, ...links],
    routes: [...state.host.routes, ...old.host.routes.filter(isKept), ...apart.filter(isFree)],
    sysctls: [...state.host.sysctls, ...old.host.sysctls],
  };
  const datapath = state.datapath ?? old.datapath;
  const commands = state.commands ?? old.commands;
  return { host, ...(datapath && { datapath }), ...(commands && { commands }) };
}

function destinationOf(route: RouteState): string {
  return route.type === 'unicast' ? routeDestination(route) : formatRoute(route);
}
