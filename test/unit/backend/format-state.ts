import type { BackendState } from '../../../src/backend/backend.ts';
import { formatInterfaceAddress, formatRoute, type LinkState } from '../../../src/host/state.ts';

/** What a host should hold, a line each: links with what is special to their kind, their remotes, routes, sysctls. */
export function linesOf({ host }: BackendState): string[] {
  return [
    ...host.links.flatMap((link) => [formatLink(link), ...remotesOf(link)]),
    ...host.routes.map((route) => `route ${formatRoute(route)}`),
    ...host.sysctls.map(({ path, value }) => `${path}=${value}`),
  ];
}

function formatLink({ name, kind, mtu, addresses, ...special }: LinkState): string {
  const details = Object.entries(special).flatMap(([key, value]) =>
    Array.isArray(value) ? [] : [key, String(value)],
  );
  return ['link', name, kind, 'mtu', mtu, ...addresses.map(formatInterfaceAddress), ...details].join(' ');
}

function remotesOf(link: LinkState): string[] {
  if (link.kind !== 'vxlan') return [];
  return link.remotes.map(
    ({ ip, mac, destination }) => `remote ${link.name} ${ip} is ${mac} behind ${destination}`,
  );
}
