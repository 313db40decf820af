import type { Checked, NetworkConfig } from '../config/network-config.ts';
import { alloc } from './alloc/alloc.ts';
import type { BackendDesign, BackendKind } from './backend.ts';
import { extension } from './extension/extension.ts';
import { hostGw } from './host-gw/host-gw.ts';
import { ipip } from './ipip/ipip.ts';
import { udp } from './udp/udp.ts';
import { vxlan } from './vxlan/vxlan.ts';
import { wireguard } from './wireguard/wireguard.ts';

/** As a message lists them. */
const BACKENDS: readonly BackendKind[] = [udp, vxlan, hostGw, ipip, wireguard, alloc, extension];

const CLOUD =
  "flannel's backend of that name writes into a cloud's own routing tables, and Corduroy has none that does: vxlan needs " +
  'nothing of a cloud, alloc fits where something else keeps those tables';

/** What flannel has beside them. */
const UNAVAILABLE: ReadonlyMap<string, string> = new Map([
  ['ipsec', 'Corduroy has no IPsec: wireguard encrypts, too, and needs no daemon for its keys'],
  ...['ali-vpc', 'aws-vpc', 'gce', 'tencent-vpc'].map((type) => [type, CLOUD] as const),
]);

/** Checks what a network config asks of its backend, and finds who carries it out. */
export function checkBackend({ backend, ranges }: NetworkConfig): Checked<BackendDesign> {
  const kind = BACKENDS.find(({ type }) => type === backend.type);
  if (kind === undefined) {
    const rule = UNAVAILABLE.get(backend.type) ?? `has to be one of ${listOf(BACKENDS)}`;
    return broken('Backend.Type', backend.type, rule);
  }
  const families = ranges.map(({ network }) => network.family);
  const beyond = families.find((family) => !kind.families.includes(family));
  if (beyond !== undefined) {
    const others = BACKENDS.filter((one) => one.families.includes(beyond));
    const rule = `has to be false: the ${kind.type} backend does not carry IPv${beyond} (these do: ${listOf(others)})`;
    return broken(`EnableIPv${beyond}`, true, rule);
  }
  return kind.check(backend.options, families);
}

function listOf(kinds: readonly BackendKind[]): string {
  return kinds.map(({ type }) => type).join(', ');
}

function broken(key: string, value: unknown, rule: string): Checked<BackendDesign> {
  return { value: undefined, problems: [{ key, value, rule }], unknownKeys: [] };
}
