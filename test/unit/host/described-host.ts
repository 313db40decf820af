import type { Interface, Way } from '../../../src/host/host-facts.ts';
import type { InterfaceWishes } from '../../../src/host/interface-choice.ts';
import { explainInterface, type HostNetwork } from '../../../src/host/interfaces.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { parseAddress } from './simulated-host.ts';

/** A host: its interfaces as `NAME KIND ADDRESS…` (`-` for a network card), its routes, the names it knows. */
export interface Host {
  readonly interfaces: readonly string[];
  readonly defaults: readonly Way[];
  readonly defaults6?: readonly Way[];
  readonly linkRoutes?: readonly string[];
  readonly routes?: Readonly<Record<string, Way>>;
  readonly names?: Readonly<Record<string, readonly string[]>>;
}

export const NO_WISHES: InterfaceWishes = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  etcdEndpoints: ['http://127.0.0.1:2379'],
};

function interfaceOf(text: string): Interface {
  const [name = '', kind = '', ...words] = text.split(' ');
  return {
    name,
    kind: kind === '-' ? '' : kind,
    mac: '02:00:00:00:00:05',
    mtu: 1500,
    isLoopback: name === 'lo',
    hasCarrier: !words.includes('DOWN'),
    addresses: words.filter((word) => word !== 'DOWN').map(parseAddress),
  };
}

export function networkOf({
  interfaces,
  defaults,
  defaults6 = [],
  linkRoutes = [],
  routes = {},
  names = {},
}: Host): HostNetwork {
  return {
    interfaces: ['lo - 127.0.0.1/8', ...interfaces].map(interfaceOf),
    defaultRoutes: async (family) => (family === 4 ? defaults : defaults6),
    linkRoutes: async () => linkRoutes.map(Prefix.parse),
    routeTo: async (address) => routes[address],
    resolve: async (name) => names[name] ?? [],
  };
}

export const explain = (host: Host, etcd: readonly string[] = [], current?: string) =>
  explainInterface(
    { ...NO_WISHES, ...(etcd.length > 0 && { etcdEndpoints: etcd }) },
    networkOf(host),
    [4],
    current,
  );

export const by = (device: string, gateway?: string): Way => ({
  device,
  ...(gateway !== undefined && { gateway }),
});
