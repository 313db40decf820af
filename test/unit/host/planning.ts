import { expect } from 'vitest';
import { passObstacles } from '../../../src/host/obstacles.ts';
import type { Ownership } from '../../../src/host/ownership.ts';
import { planHost } from '../../../src/host/plan.ts';
import type { HostState, ObservedLink } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { SimulatedHost, SimulatedRoute } from './simulated-host.ts';

export const OWN: Ownership = {
  mark: 'corduroy',
  names: new Set(['corduroy0', 'corduroy-wg']),
  protocol: 67,
  networks: ['10.5.0.0/16', 'fd00:5::/48'].map(Prefix.parse),
};
const METRIC = 4_278_198_272;

/** @param way `via GATEWAY`, `onlink`, `proto NUMBER` (67), as ip takes them */
export function route(
  prefix: string,
  device: string,
  way = '',
): SimulatedRoute & { readonly type: 'unicast' } {
  const [, gateway] = /via (\S+)/.exec(way) ?? [];
  const [, protocol = '67'] = /proto (\d+)/.exec(way) ?? [];
  return {
    type: 'unicast',
    prefix: Prefix.parse(prefix),
    device,
    ...(gateway !== undefined && { gateway: Ip.parse(gateway) }),
    ...(way.includes('onlink') && { onlink: true }),
    protocol: Number(protocol),
  };
}

export function blackhole(prefix: string, metric = METRIC, protocol = 67): SimulatedRoute {
  return { type: 'blackhole', prefix: Prefix.parse(prefix), metric, protocol };
}

export function link(name: string, kind: string, alias = '', over: Partial<ObservedLink> = {}): ObservedLink {
  return {
    name,
    kind,
    multiQueue: false,
    alias,
    up: true,
    mtu: 1500,
    queueLength: kind === 'tun' ? 1000 : 0,
    addresses: [],
    ...over,
  };
}

/** @throws CorduroyError what is in the way */
export function linesFor(wanted: HostState, host: SimulatedHost): string[] {
  const found = host.observe(OWN.protocol);
  const { wanted: possible, obstacle } = passObstacles(wanted, found, OWN);
  if (obstacle !== undefined) throw obstacle;
  const { devices, ways } = planHost(possible, found, OWN);
  return [...devices, ...ways];
}

/** Brings a host to the wanted state, as the reconciler does. @returns the lines it took */
export function converge(host: SimulatedHost, wanted: HostState): string[] {
  const lines = linesFor(wanted, host);
  expect(host.apply(lines)).toEqual([]);
  return lines;
}
