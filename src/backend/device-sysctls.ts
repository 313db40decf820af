import { ipv6Forwarding, type RouteState, type Sysctl } from '../host/state.ts';
import type { Family } from '../net/ip.ts';

/** What the kernel has to be told of a tunnel device of Corduroy's. @param families that it has addresses of */
export function deviceSysctls(device: string, families: readonly Family[]): Sysctl[] {
  return [
    ...families.flatMap((family) => ofFamily(device, family)),
    ...(families.includes(6) ? [] : [noIpv6(device)]),
  ];
}

/** Packets to containers come in by the external interface where a peer sends plainly. It stays the operator's else. */
export function underlaySysctls(underlay: string, routes: readonly RouteState[]): Sysctl[] {
  const isDirect = (family: Family) =>
    routes.some(
      (route) => route.type === 'unicast' && route.device === underlay && route.prefix.family === family,
    );
  return ([4, 6] as const).filter(isDirect).flatMap((family) => forwarding(underlay, family));
}

function ofFamily(device: string, family: Family): Sysctl[] {
  if (family === 4) {
    // Loose: while a cluster changes its backend, packets of a peer come by another device than those to it leave by.
    return [...forwarding(device, 4), { path: `net/ipv4/conf/${device}/rp_filter`, value: '2' }];
  }
  return [
    // It is 1 where the network had only IPv4 until now, or where the host has it so for new devices.
    { path: `net/ipv6/conf/${device}/disable_ipv6`, value: '0' },
    ...forwarding(device, 6),
    // Nobody on the tunnel advertises routers: without this the kernel sends solicitations into it.
    { path: `net/ipv6/conf/${device}/accept_ra`, value: '0' },
  ];
}

/** That packets which come in by a device may leave by another one. */
function forwarding(device: string, family: Family): Sysctl[] {
  return family === 4
    ? [{ path: `net/ipv4/conf/${device}/forwarding`, value: '1' }]
    : [ipv6Forwarding(device)];
}

/** Else the kernel gives the device a link-local address and speaks into the tunnel. */
function noIpv6(device: string): Sysctl {
  return { path: `net/ipv6/conf/${device}/disable_ipv6`, value: '1', optional: true };
}
