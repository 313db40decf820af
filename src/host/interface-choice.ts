import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { type HostFacts, hasAddress, type Interface, ipv4Of } from './host-facts.ts';
import { ofDefaultRoute, others, type Picked, pickByItself, unfitness } from './interface-guess.ts';
import type { ExternalInterface } from './state.ts';

export interface InterfaceWishes {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string | undefined;
  readonly publicIp: string | undefined;
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
 * has --public-ip; else the one of the default route. Flannel has nothing else; here, a default route that cannot be how
 * other hosts send to this one (a tunnel, or a NAT behind which all hosts have one address) is passed over.
 */
export function decideInterface(wishes: InterfaceWishes, facts: HostFacts): InterfaceChoice {
  const pick = pickByFlags(wishes, facts) ?? pickByItself(facts);
  const candidates = facts.interfaces
    .filter((one) => ipv4Of(one).length > 0 || (one.kind === '' && !one.isLoopback))
    .map((one): Candidate => {
      const isChosen = 'one' in pick && pick.one === one;
      const why = isChosen ? pick.why : whyNot(one, pick, wishes, facts);
      return { name: one.name, addresses: ipv4Of(one), mtu: one.mtu, isChosen, why };
    });
  if ('problem' in pick) return { chosen: undefined, problem: pick.problem, candidates };
  const { one, why } = pick;
  // An IPv6 address says which interface is meant; what is published and listened on is IPv4.
  const address = pick.address?.family === 4 ? pick.address : ipv4Of(one)[0];
  if (address === undefined)
    return { chosen: undefined, problem: `${one.name} has no IPv4 address`, candidates };
  const publicIp = wishes.publicIp === undefined ? address : Ip.parse(wishes.publicIp);
  const { name, mac, mtu } = one;
  const onLink = one.addresses.map(({ ip, length }) => Prefix.of(ip, length));
  return {
    chosen: { name, mac, mtu, v4: { address, publicIp }, onLink, why },
    problem: undefined,
    candidates,
  };
}

/** Whether the choice depends on how etcd is reached: names have to be resolved for that. */
export function needsEtcd(wishes: InterfaceWishes, facts: HostFacts): boolean {
  if (pickByFlags(wishes, facts) !== undefined || ofDefaultRoute(facts) !== undefined) return false;
  return others(facts).length > 1;
}

function pickByFlags(wishes: InterfaceWishes, facts: HostFacts): Picked | undefined {
  const usable = facts.interfaces.filter((one) => ipv4Of(one).length > 0);
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
      const address = ipv4Of(one).find((ip) => regex.test(ip.toString()));
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
  if (wished.length > 0) return { problem: `no interface with an IPv4 address fits ${wished.join(', ')}` };
  if (wishes.publicIp === undefined) return undefined;
  const address = Ip.parse(wishes.publicIp);
  const one = usable.find((each) => hasAddress(each, address));
  return one && { one, why: `it has --public-ip ${address}`, address };
}

function whyNot(one: Interface, pick: Picked, wishes: InterfaceWishes, facts: HostFacts): string {
  const unfit = unfitness(one, facts);
  if (unfit !== undefined) return unfit;
  const wished = flagsOf(wishes);
  if (wished.length > 0) return `it is not what ${wished.join(', ')} asks for`;
  const chosen = 'one' in pick ? pick.one : undefined;
  if (wishes.publicIp !== undefined && chosen !== undefined && hasAddress(chosen, Ip.parse(wishes.publicIp)))
    return 'it has not the address of --public-ip';
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
