import { type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import {
  addressesIn,
  type HostFacts,
  hasAddress,
  hasFamilies,
  type Interface,
  lackOf,
  needOf,
} from './host-facts.ts';
import { ofDefaultRoute, others, type Picked, pickByItself, unfitness } from './interface-guess.ts';
import type { ExternalInterface, OuterAddress } from './state.ts';

export interface InterfaceWishes {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string | undefined;
  readonly publicIp: string | undefined;
  readonly publicIpv6: string | undefined;
  /** URLs. */
  readonly etcdEndpoints: readonly string[];
}

export interface Candidate {
  readonly name: string;
  readonly addresses: readonly Ip[];
  readonly mtu: number;
  readonly isChosen: boolean;
  /** Why it is chosen, or is not. */
  readonly why: string;
}

export interface InterfaceChoice {
  readonly chosen: ExternalInterface | undefined;
  /** Why none is chosen, and what to do. */
  readonly problem: string | undefined;
  readonly candidates: readonly Candidate[];
}

/**
 * Flannel's order: --iface, --iface-regex (addresses first, then names), --iface-can-reach; else the interface that
 * has --public-ip (or --public-ipv6); else the one of the default route. Flannel has nothing else; here, a default route
 * that cannot be how other hosts send to this one (a tunnel, or a NAT behind which all hosts have one address) is passed
 * over. An interface without an address of each family is none, wherever the order comes to it.
 */
export function decideInterface(wishes: InterfaceWishes, facts: HostFacts): InterfaceChoice {
  const pick = pickFor(wishes, facts);
  const told: readonly Family[] = [...facts.families, ...(facts.alsoTold ?? [])];
  const candidates = facts.interfaces
    .filter((one) => addressesIn(one, told).length > 0 || (one.kind === '' && !one.isLoopback))
    .map((one): Candidate => {
      const isChosen = 'one' in pick && pick.one === one;
      const why = isChosen ? pick.why : whyNot(one, pick, wishes, facts);
      return { name: one.name, addresses: addressesIn(one, told), mtu: one.mtu, isChosen, why };
    });
  if ('problem' in pick) return { chosen: undefined, problem: pick.problem, candidates };
  const { one, why } = pick;
  const outer = (family: Family): OuterAddress | undefined => {
    // An address of the other family says which interface is meant, and nothing more.
    const address = pick.address?.family === family ? pick.address : addressesIn(one, [family])[0];
    if (address === undefined || !told.includes(family)) return undefined;
    const wished = family === 4 ? wishes.publicIp : wishes.publicIpv6;
    return { address, publicIp: wished === undefined ? address : Ip.parse(wished) };
  };
  const [v4, v6] = [outer(4), outer(6)];
  const { name, mac, mtu } = one;
  return {
    chosen: { name, mac, mtu, ...(v4 && { v4 }), ...(v6 && { v6 }), onLink: onLinkOf(one), why },
    problem: undefined,
    candidates,
  };
}

/** Each once, in an order that does not depend on which address came first. */
function onLinkOf({ addresses }: Interface): Prefix[] {
  const all = addresses.map(({ ip, length }) => Prefix.of(ip, length));
  return distinct(all);
}

export function distinct(prefixes: readonly Prefix[]): Prefix[] {
  return [...new Map(prefixes.map((one) => [`${one}`, one])).entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, prefix]) => prefix);
}

function pickFor(wishes: InterfaceWishes, facts: HostFacts): Picked {
  const pick = pickByFlags(wishes, facts) ?? pickByItself(facts);
  if ('one' in pick || facts.families.length === 1) return pick;
  // Whose lack of an address is it that leaves none?
  for (const family of facts.families) {
    const families = [family];
    const near = pickByFlags(wishes, { ...facts, families }) ?? pickByItself({ ...facts, families });
    if (!('one' in near) || hasFamilies(near.one, facts.families)) continue;
    const lacks = facts.families.filter((other) => other !== family);
    const { name } = near.one;
    return {
      problem:
        `the network has IPv4 and IPv6, and ${name} (${near.why}) has ${lackOf(lacks)}: give it one ` +
        `(ip address add ADDRESS/LENGTH dev ${name}), or name another interface with --iface`,
    };
  }
  return pick;
}

/** Whether the choice depends on how etcd is reached: names have to be resolved for that. */
export function needsEtcd(wishes: InterfaceWishes, facts: HostFacts): boolean {
  if (pickByFlags(wishes, facts) !== undefined || ofDefaultRoute(facts) !== undefined) return false;
  return others(facts).length > 1;
}

function pickByFlags(wishes: InterfaceWishes, facts: HostFacts): Picked | undefined {
  const { families } = facts;
  const usable = facts.interfaces.filter((one) => hasFamilies(one, families));
  for (const wish of wishes.iface) {
    const address = Ip.tryParse(wish);
    const one = usable.find(
      (each) => each.name === wish || (address !== undefined && hasAddress(each, address)),
    );
    if (one !== undefined) return { one, why: `--iface ${wish} is there`, address };
  }
  for (const pattern of wishes.ifaceRegex) {
    const regex = new RegExp(pattern);
    for (const one of usable) {
      const address = addressesIn(one, families).find((ip) => regex.test(ip.toString()));
      if (address !== undefined)
        return { one, why: `its address ${address} matches --iface-regex ${pattern}`, address };
    }
    const one = usable.find(({ name }) => regex.test(name));
    if (one !== undefined) return { one, why: `its name matches --iface-regex ${pattern}` };
  }
  if (wishes.ifaceCanReach !== undefined) {
    const address = Ip.parse(wishes.ifaceCanReach);
    const local = usable.find((one) => hasAddress(one, address)); // The route to it would be lo's.
    if (local !== undefined)
      return { one: local, why: `it has the address of --iface-can-reach ${address}`, address };
    const one = usable.find(({ name }) => name === facts.canReach?.device);
    if (one !== undefined)
      return {
        one,
        why: `the route to --iface-can-reach ${address} leaves by it`,
        address: Ip.tryParse(facts.canReach?.source ?? ''),
      };
  }
  const wished = flagsOf(wishes);
  if (wished.length > 0)
    return { problem: `no interface with ${needOf(families)} fits ${wished.join(', ')}` };
  for (const { flag, address } of publicAddresses(wishes, families)) {
    const one = usable.find((each) => hasAddress(each, address));
    if (one !== undefined) return { one, why: `it has ${flag} ${address}`, address };
  }
  return undefined;
}

/** What the flags say that others send to. */
function publicAddresses({ publicIp, publicIpv6 }: InterfaceWishes, families: readonly Family[]) {
  const given = [
    { flag: '--public-ip', family: 4, text: publicIp },
    { flag: '--public-ipv6', family: 6, text: publicIpv6 },
  ] as const;
  return given.flatMap(({ flag, family, text }) =>
    text !== undefined && families.includes(family) ? [{ flag, address: Ip.parse(text) }] : [],
  );
}

function whyNot(one: Interface, pick: Picked, wishes: InterfaceWishes, facts: HostFacts): string {
  const unfit = unfitness(one, facts);
  if (unfit !== undefined) return unfit;
  const wished = flagsOf(wishes);
  if (wished.length > 0) return `it is not what ${wished.join(', ')} asks for`;
  const chosen = 'one' in pick ? pick.one : undefined;
  const held = publicAddresses(wishes, facts.families).find(
    ({ address }) => chosen !== undefined && hasAddress(chosen, address),
  );
  if (held !== undefined) return `it has not the address of ${held.flag}`;
  if (!facts.defaults.some(({ device }) => device === chosen?.name))
    return 'nothing tells that the other hosts reach this one by it';
  return facts.defaults.some(({ device }) => device === one.name)
    ? 'another default route is better'
    : 'no default route leaves by it';
}

function flagsOf(wishes: InterfaceWishes): string[] {
  return [
    ...wishes.iface.map((text) => `--iface ${text}`),
    ...wishes.ifaceRegex.map((text) => `--iface-regex ${text}`),
    ...(wishes.ifaceCanReach === undefined ? [] : [`--iface-can-reach ${wishes.ifaceCanReach}`]),
  ];
}
