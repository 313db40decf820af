import { Prefix } from '../../src/net/prefix.ts';
import type { ContentLease } from '../support/etcd-content.ts';
import type { Outage } from '../support/ping-watch.ts';

/** Something that must never be. */
export interface Violation {
  readonly what: string;
  /** Names of hosts it concerns, for their logs. */
  readonly hosts: readonly string[];
}

/** One host as it says it is. */
export interface HostState {
  readonly name: string;
  readonly subnet: string;
}

/** No two hosts that live use overlapping subnets. */
export function overlaps(hosts: readonly HostState[]): Violation[] {
  return hosts.flatMap((one, index) =>
    hosts.slice(index + 1).flatMap((other) =>
      Prefix.parse(one.subnet).overlaps(Prefix.parse(other.subnet))
        ? {
            what: `${one.name} uses ${one.subnet}, and ${other.name} uses ${other.subnet}`,
            hosts: [one.name, other.name],
          }
        : [],
    ),
  );
}

/** No two leases in etcd overlap. */
export function overlapsIn(content: readonly ContentLease[]): Violation[] {
  return overlaps(content.map(({ subnet, publicIp }) => ({ name: publicIp, subnet }))).map(({ what }) => ({
    what: `etcd holds overlapping leases: ${what}`,
    hosts: [],
  }));
}

/**
 * No host's subnet changes unless its key was truly taken by another.
 * @param history what etcd held, as far back as it matters
 * @param ownerOf the host an address belongs to, or belonged to
 */
export function subnetChanges(
  before: ReadonlyMap<string, string>,
  now: readonly HostState[],
  history: readonly (readonly ContentLease[])[],
  ownerOf: (publicIp: string) => string | undefined,
): Violation[] {
  return now.flatMap(({ name, subnet }) => {
    const had = before.get(name);
    if (had === undefined || had === subnet) return [];
    const taken = history.flat().some((lease) => lease.subnet === had && ownerOf(lease.publicIp) !== name);
    return taken
      ? []
      : {
          what: `${name} has changed its subnet from ${had}, which nobody took, to ${subnet}`,
          hosts: [name],
        };
  });
}

/** From when to when the packets of a host may be lost. Unix time, milliseconds. */
export interface Excuse {
  readonly kind: string;
  readonly host: string;
  readonly from: number;
  /** Absent while it lasts. */
  until?: number;
}

/** The excuse that covers an outage whole, if there is one. */
export function excuseFor(outage: Outage, excuses: readonly Excuse[]): Excuse | undefined {
  return excuses.find(
    ({ host, from, until = Number.POSITIVE_INFINITY }) =>
      (host === outage.from || host === outage.to) && outage.firstAt >= from && outage.lastAt <= until,
  );
}

/** No subnet that a host uses is another's in etcd. */
export function heldByAnother(
  content: readonly ContentLease[],
  hosts: readonly HostState[],
  ownerOf: (publicIp: string) => string | undefined,
): Violation[] {
  return hosts.flatMap(({ name, subnet }) =>
    content
      .filter((lease) => lease.subnet === subnet && ownerOf(lease.publicIp) !== name)
      .map(({ publicIp }) => ({
        what: `${name} uses ${subnet}, which etcd holds for ${publicIp}`,
        hosts: [name, ownerOf(publicIp) ?? ''],
      })),
  );
}
