import type { BackendConfig } from '../../config/network-config.ts';
import { printable } from '../../printable.ts';

const ELSEWHERE =
  'containers of different hosts lose each other, unless something else routes each subnet to its host';

/** Of a backend that is changed to: what it takes, beside Corduroy, to reach the other hosts. */
const TAKES: Readonly<Record<string, (backend: BackendConfig) => string | undefined>> = {
  alloc: () => `alloc carries no packets: ${ELSEWHERE}`,
  extension: ({ options }) =>
    options.get('SubnetAddCommand')
      ? undefined
      : `extension without a SubnetAddCommand carries no packets: ${ELSEWHERE}`,
  'host-gw': () =>
    'host-gw carries only between hosts on one link: hosts with a router between them lose each other (which those are, ' +
    'leases do not tell)',
  ipip: () =>
    'ipip needs the module of that name in the kernel of every host (modprobe ipip): a host without it says so in its ' +
    'status, and the others lose it',
  wireguard: () =>
    'wireguard needs its module in the kernel of every host (modprobe wireguard), or wireguard-go: a host with neither ' +
    'says so in its status, and the others lose it',
};

/** What a device or socket cannot have in the old and the new way at once, lower case: see docs/backends.md. */
const EXCLUSIVE = ['port', 'listenport', 'listenportv6', 'gbp'];

/** What a change of the backend will do, a sentence each. Names of options only: a value may be a secret. */
export function backendLines(before: BackendConfig, after: BackendConfig): string[] {
  const tail =
    'every host changes over within a second of hearing of it; containers that run keep the MTU they have until they are ' +
    'restarted';
  const takes = TAKES[after.type]?.(after);
  if (before.type !== after.type) {
    const change = `backend ${printable(before.type)} → ${printable(after.type)}: ${tail}`;
    return takes === undefined ? [change] : [change, takes];
  }
  const keys = new Set([before, after].flatMap(({ options }) => options.keysBut(['Type'])));
  const changed = [...keys].filter((key) => {
    const name = key.slice(key.indexOf('.') + 1);
    return JSON.stringify(before.options.get(name)) !== JSON.stringify(after.options.get(name));
  });
  if (changed.length === 0) return [];
  const isInterrupted = changed.some((key) =>
    EXCLUSIVE.includes(key.slice(key.indexOf('.') + 1).toLowerCase()),
  );
  const isLeft = takes !== undefined && TAKES[before.type]?.(before) === undefined;
  return [
    `${changed.map((key) => printable(key)).join(', ')} changes: ${tail}`,
    ...(isInterrupted ? ['packets may be lost for a moment, until every host has followed'] : []),
    ...(isLeft ? [takes] : []),
  ];
}
