import { isPrivate } from '../net/host-address.ts';
import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import {
  addressesIn,
  type HostFacts,
  hasAddress,
  hasFamilies,
  type Interface,
  lackOf,
  type Way,
} from './host-facts.ts';

/** An interface and the reason, or what is wrong and what to do. */
export type Picked =
  | { readonly one: Interface; readonly why: string; readonly address?: Ip | undefined }
  | { readonly problem: string };

/** Without flags: the interface of the default route, unless that cannot be how other hosts send to this one. */
export function pickByItself(facts: HostFacts): Picked {
  const byRoute = ofDefaultRoute(facts);
  if (byRoute !== undefined) return byRoute;
  const guess = guessFrom(facts);
  if (!('one' in guess) || facts.current === undefined || guess.one.name === facts.current) return guess;
  const current = facts.interfaces.find(({ name }) => name === facts.current);
  // The NAT was taken for want of another.
  if (current === undefined || natAddress(current, facts) !== undefined) return guess;
  // A route or an address may be away for a moment. What is only a guess takes no place of what has served.
  return { problem: `${obstacle(facts)}; ${facts.current} is kept while it is there, or ${REMEDY}` };
}

/** The interface of the first default route that others can send to this host by. */
export function ofDefaultRoute(facts: HostFacts): Picked | undefined {
  for (const [index, way] of facts.defaults.entries()) {
    const one = facts.interfaces.find(({ name }) => name === way.device);
    if (one === undefined || isNoWay(one, facts)) continue;
    return {
      one,
      why:
        index === 0
          ? 'the default route leaves by it'
          : `a default route leaves by it, and ${obstacle(facts)}`,
    };
  }
  return undefined;
}

function isNoWay(one: Interface, facts: HostFacts): boolean {
  return !hasFamilies(one, facts.families) || isTunnel(one) || natAddress(one, facts) !== undefined;
}

function guessFrom(facts: HostFacts): Picked {
  const left = others(facts);
  const [only] = left;
  if (only === undefined) return withoutOthers(facts);
  if (left.length === 1) return { one: only, why: `${obstacle(facts)}, and there is no other` };
  for (const { address, way } of facts.etcd ?? []) {
    if (address === undefined) continue;
    const local = left.find((one) => hasAddress(one, address));
    if (local !== undefined)
      return { one: local, why: `${obstacle(facts)}, and it has etcd's address ${address}`, address };
    const one = left.find(({ name }) => name === way?.device);
    if (one !== undefined)
      return {
        one,
        why: `${obstacle(facts)}, and etcd (${address}) is reached by it`,
        address: Ip.tryParse(way?.source ?? ''),
      };
  }
  const unknown = facts.etcd?.find(({ address }) => address === undefined);
  // Which one it is would depend on whether the name server answers.
  if (unknown !== undefined)
    return {
      problem: `${obstacle(facts)}, and ${unknown.host}, which etcd is reached by, cannot be resolved: ${REMEDY}`,
    };
  const internal = left.filter((one) => addressesIn(one, facts.families.slice(0, 1)).some(isPrivate));
  if (internal.length === 1 && internal[0] !== undefined)
    return { one: internal[0], why: `${obstacle(facts)}, and no other has a private address` };
  return { problem: `${obstacle(facts)}, and several others could be meant: ${REMEDY}` };
}

const REMEDY = 'name an interface with --iface';

/** Behind a NAT with nothing else: what flannel takes, too. Should two hosts publish that address, they say so. */
function withoutOthers(facts: HostFacts): Picked {
  const nat = facts.interfaces.find((one) => natAddress(one, facts) !== undefined);
  return nat === undefined
    ? { problem: `${obstacle(facts)}: ${REMEDY}` }
    : { one: nat, why: `${obstacle(facts)}, and there is no other` };
}

/** What is in the way of taking the interface of the default route. */
function obstacle(facts: HostFacts): string {
  const [way] = facts.defaults;
  if (way === undefined) return 'there is no default route';
  const one = facts.interfaces.find(({ name }) => name === way.device);
  const leaves = `the default route leaves by ${way.device}`;
  if (one === undefined || !hasFamilies(one, facts.families)) return `${leaves}, which ${lack(one, facts)}`;
  if (isTunnel(one)) return `${leaves}, a tunnel`;
  return `${leaves}, ${natPhrase(natAddress(one, facts))}`;
}

/** `has no IPv4 address`: of those that it has to have, what it lacks. */
function lack(one: Interface | undefined, { families }: HostFacts): string {
  const missing = families.filter((family) => one === undefined || !hasFamilies(one, [family]));
  return `has ${lackOf(missing)}`;
}

/** The interfaces that may be meant where the default route tells nothing. */
export function others(facts: HostFacts): Interface[] {
  return facts.interfaces.filter((one) => unfitness(one, facts) === undefined);
}

/** Why an interface is not guessed at. Flags may still name it, and a default route may leave by it. */
export function unfitness(one: Interface, facts: HostFacts): string | undefined {
  if (one.isLoopback) return 'it is the loopback device';
  if (!hasFamilies(one, facts.families)) return `it ${lack(one, facts)}`;
  if (isTunnel(one)) return `it is a tunnel (${one.kind})`;
  if (INNER.test(one.kind)) return `what is behind it is on this host, as a rule (${one.kind})`;
  if (!one.hasCarrier) return 'it is down, or nobody is at its other end';
  const address = natAddress(one, facts);
  return address && `it is ${natPhrase(address)}`;
}

const TUNNEL =
  /^(tun|wireguard|ipip|sit|gre|gretap|erspan|ip6gre|ip6gretap|ip6erspan|ip6tnl|vti6?|xfrm|vxlan|geneve|bareudp)$/;
/** Containers and virtual machines of this host are behind it, or nothing is. */
const INNER = /^(bridge|openvswitch|dummy|ifb|vrf)$/;

function isTunnel({ kind }: Interface): boolean {
  return TUNNEL.test(kind);
}

function natPhrase(address: Ip | undefined): string {
  return address?.family === 6
    ? `a NAT of this virtual machine alone, with the address ${address}`
    : `a NAT behind which every host has the address ${address}`;
}

/**
 * The user-mode NAT of VirtualBox and QEMU gives every guest a network of its own with the same addresses: 10.0.N.0/24,
 * N = 2 for the first, the gateway is .2 and the guest .15. (VirtualBox's "NAT network", which guests share, has .1.) Of
 * IPv6, VirtualBox has fd17:625c:f037:N::/64 there and QEMU fec0::/64, and addresses that differ by hardware address.
 *
 * @returns the address of the guest there
 */
function natAddress(one: Interface, { defaults, families }: HostFacts): Ip | undefined {
  if (families[0] === 6) return addressesIn(one, [6]).find((ip) => NAT6.some((range) => range.contains(ip)));
  return addressesIn(one, [4]).find((ip) => {
    const [, network] = /^(10\.0\.\d+)\.15$/.exec(ip.toString()) ?? [];
    const isBehind = ({ device, gateway }: Way) => device === one.name && gateway === `${network}.2`;
    return network !== undefined && defaults.some(isBehind);
  });
}

const NAT6 = ['fd17:625c:f037::/48', 'fec0::/64'].map(Prefix.parse);
