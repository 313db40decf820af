import type { FlagValues } from '../config/flags.ts';
import type { Names } from '../config/names.ts';
import {
  type Byproducts,
  Firewall,
  type FirewallState,
  NO_BYPRODUCTS,
  removeFirewall,
} from '../host/firewall.ts';
import type { HostState } from '../host/state.ts';
import type { Family } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import type { Log } from '../observe/log.ts';
import type { HostRecord } from './state-file.ts';

/** What the firewall depends on. */
export interface FirewallWish {
  /** From the backend. */
  readonly host: HostState;
  readonly networks: readonly Prefix[];
  /** This host's, in the order of the networks. */
  readonly subnets: readonly Prefix[];
  /** Name of the interface that traffic between hosts goes by. */
  readonly underlay: string;
}

/** Where the record of a host has what it needs to remove a family's rules; absent: there are none. */
const RECORDS = { 4: 'firewall', 6: 'firewall6' } as const satisfies Record<Family, keyof HostRecord>;
const FAMILIES = [4, 6] as const;

export interface FirewallKeeperOptions {
  readonly flags: FlagValues;
  readonly names: Names;
  /** Of an earlier run. */
  readonly record: HostRecord;
  readonly remember: (part: Partial<HostRecord>) => void;
  readonly log: Log;
}

/** Keeps the firewall of each family that the network has, and removes that of a family it has no more. */
export class FirewallKeeper {
  readonly #options: FirewallKeeperOptions;
  readonly #firewalls: Readonly<Record<Family, Firewall>>;
  /** The families whose rules may be on this host: of another nothing is even looked at, the host may lack it. */
  readonly #set: Set<Family>;
  readonly #byproducts: Record<Family, Byproducts>;

  constructor(options: FirewallKeeperOptions) {
    const { names, record } = options;
    this.#options = options;
    this.#byproducts = { 4: record.firewall ?? NO_BYPRODUCTS, 6: record.firewall6 ?? NO_BYPRODUCTS };
    this.#set = new Set(FAMILIES.filter((family) => record[RECORDS[family]] !== undefined));
    const firewallOf = (family: Family) =>
      new Firewall(family, firewallNames(names), this.#byproducts[family]);
    this.#firewalls = { 4: firewallOf(4), 6: firewallOf(6) };
  }

  /** One family that cannot be set keeps the other from nothing. @throws CorduroyError as Firewall.ensure */
  async ensure(wish: FirewallWish): Promise<void> {
    const states = firewallStates(wish, this.#options.flags);
    const done = await Promise.allSettled(
      FAMILIES.map(async (family) => {
        const state = states.find(({ network }) => network.family === family);
        if (state !== undefined) await this.#ensure(state);
        else if (this.#set.has(family)) await this.#remove(family);
      }),
    );
    for (const one of done) if (one.status === 'rejected') throw one.reason;
  }

  async #ensure(state: FirewallState): Promise<void> {
    const { network, forward, masquerade } = state;
    const { family } = network;
    if (!this.#set.has(family)) this.#remember(family, this.#byproducts[family]);
    this.#set.add(family);
    const remember = (byproducts: Byproducts) => this.#remember(family, byproducts);
    if (!(await this.#firewalls[family].ensure(state, remember))) return;
    const forwarding = forward ? 'accepted' : 'left alone';
    this.#options.log.info(
      `firewall set: forwarding from and to ${network} ${forwarding}, masquerading ${masquerade}`,
    );
  }

  async #remove(family: Family): Promise<void> {
    const { names, log } = this.#options;
    const removed = await removeFirewall(family, firewallNames(names), this.#byproducts[family]);
    this.#firewalls[family].forget();
    this.#set.delete(family);
    this.#remember(family, undefined);
    if (removed.length > 0)
      log.info(`the network has no IPv${family} any more: removed ${removed.join(', ')}`);
  }

  #remember(family: Family, byproducts: Byproducts | undefined): void {
    this.#byproducts[family] = byproducts ?? NO_BYPRODUCTS;
    this.#options.remember({ [RECORDS[family]]: byproducts });
  }
}

function firewallNames({ nftTable, iptablesChain }: Names) {
  return { table: nftTable, chain: iptablesChain };
}

/** What each family of the network needs; nothing, of one that this host has no subnet of. */
export function firewallStates(wish: FirewallWish, flags: FlagValues): FirewallState[] {
  const exclude = flags['ip-masq-exclude'].map(Prefix.parse);
  const ways = waysOf(wish);
  return wish.networks.flatMap((network) => {
    const { family } = network;
    const subnet = wish.subnets.find((one) => one.family === family);
    if (subnet === undefined) return [];
    return {
      network,
      subnet,
      ...ways,
      exclude: exclude.filter((one) => one.family === family),
      forward: flags['iptables-forward-rules'],
      masquerade: !flags['ip-masq'] ? 'off' : flags['ip-masq-fully-random-disable'] ? 'on' : 'fully-random',
    };
  });
}

/** The devices by which packets come from other hosts and go to them. */
export function waysOf({
  host,
  underlay,
}: Pick<FirewallWish, 'host' | 'underlay'>): Pick<FirewallState, 'tunnels' | 'underlay'> {
  const tunnels = host.links.filter(({ kind }) => kind !== 'bridge').map(({ name }) => name);
  const plain = host.routes.some(
    (route) => route.type === 'unicast' && !tunnels.includes(route.device) && route.device === underlay,
  );
  return { tunnels, ...(plain && { underlay }) };
}

/** For `corduroy down`: removes the firewall of each family that the record speaks of. @returns what was removed */
export async function removeFirewalls(
  names: Names,
  record: HostRecord,
  families: readonly Family[],
): Promise<string[]> {
  const removed: string[] = [];
  for (const family of families) {
    const byproducts = record[RECORDS[family]] ?? NO_BYPRODUCTS;
    removed.push(...(await removeFirewall(family, firewallNames(names), byproducts)));
  }
  return removed;
}
