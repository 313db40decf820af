import { join } from 'node:path';
import type { Family } from '../net/ip.ts';

/**
 * A lab on one machine, all of it in network namespaces:
 *
 *     cdy-NAME-c1 ── cbr0 ┐ cdy-NAME-h1 ── 192.0.2.1, 2001:db8::1 ┐
 *     (container)         │ (host, corduroyd)                     ├── cdy-NAME-net: bridge "underlay",
 *     cdy-NAME-c2 ── cbr0 ┘ cdy-NAME-h2 ── 192.0.2.2, 2001:db8::2 ┘   etcd on 192.0.2.254 and 2001:db8::fe
 *
 * With two links, every other host stands on a second bridge there, `underlay2`, with addresses of another network, and
 * cdy-NAME-net is the router between them. The addresses are of those for documentation (RFC 5737, RFC 3849); they exist
 * only inside the namespaces.
 */
export interface LabHost {
  /** `h1`, `h2`, … */
  readonly name: string;
  readonly namespace: string;
  /** The first of `addresses`. */
  readonly address: string;
  /** On the underlay, one a family, IPv4 first. */
  readonly addresses: readonly string[];
  /** Which of the underlay's links it stands on. */
  readonly link: number;
  /** The container behind it: `c1`, `c2`, … */
  readonly container: { readonly name: string; readonly namespace: string };
  /** What the host's programs have mounted, and nobody else has: a file to enter by. */
  readonly mounts: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly machineIdFile: string;
  readonly subnetFile: string;
  readonly logFile: string;
}

export interface LabSpec {
  readonly name: string;
  /** The network config, as it is written to etcd. */
  readonly config: string;
  /** What hosts have addresses of, IPv4 first. */
  readonly hostFamilies: readonly Family[];
  /** 1, or 2: then hosts stand on either in turn. */
  readonly links: number;
  /** Of the links between hosts. Bytes. */
  readonly mtu: number;
}

export const LAB_NAME = /^[a-z0-9]{1,8}$/;
export const MAX_HOSTS = 200;
/** The bridge that corduroyd keeps on every lab host. */
export const LAB_BRIDGE = 'cbr0';
/** Not the run-dir of any instance: these are called /run/corduroy-NAME. */
const ROOT = '/run/corduroy.labs';

/** A link that hosts stand on: a bridge, the networks there, and the router's addresses in them. */
interface UnderlayLink {
  readonly bridge: string;
  readonly v4: { readonly network: string; readonly gateway: string };
  readonly v6: { readonly network: string; readonly gateway: string };
}

const LINKS: readonly [UnderlayLink, UnderlayLink] = [
  {
    bridge: 'underlay',
    v4: { network: '192.0.2.', gateway: '192.0.2.254' },
    v6: { network: '2001:db8::', gateway: '2001:db8::fe' },
  },
  {
    bridge: 'underlay2',
    v4: { network: '198.51.100.', gateway: '198.51.100.254' },
    v6: { network: '2001:db8:0:1::', gateway: '2001:db8:0:1::fe' },
  },
];

export function labFolder(name: string): string {
  return join(ROOT, name);
}

/** Where etcd is, which is also the router. */
export function underlay(name: string): {
  readonly namespace: string;
  readonly etcd: string;
  readonly address: string;
  /** The same for hosts without IPv4. */
  readonly etcd6: string;
} {
  const [{ v4, v6 }] = LINKS;
  return {
    namespace: `cdy-${name}-net`,
    etcd: `http://${v4.gateway}:2379`,
    address: v4.gateway,
    etcd6: `http://[${v6.gateway}]:2379`,
  };
}

export function labHost({ name: lab, hostFamilies, links }: LabSpec, index: number): LabHost {
  const folder = join(labFolder(lab), `h${index}`);
  const link = (index - 1) % links;
  const addresses = hostFamilies.map((family) => addressOn(link, family, index));
  return {
    name: `h${index}`,
    namespace: `cdy-${lab}-h${index}`,
    address: addresses[0] ?? '',
    addresses,
    link,
    container: { name: `c${index}`, namespace: `cdy-${lab}-c${index}` },
    mounts: join(folder, 'mounts'),
    runDir: join(folder, 'run'),
    stateDir: join(folder, 'state'),
    machineIdFile: join(folder, 'machine-id'),
    subnetFile: join(folder, 'subnet.env'),
    logFile: join(folder, 'corduroyd.log'),
  };
}

function addressOn(link: number, family: Family, index: number): string {
  const { v4, v6 } = linkAt(link);
  return family === 4 ? `${v4.network}${index}` : `${v6.network}${index.toString(16)}`;
}

function linkAt(link: number): UnderlayLink {
  return link === 0 ? LINKS[0] : LINKS[1];
}

/** Where a member of another etcd than the lab's own runs. */
export function memberNamespace(lab: string, index: number): string {
  return `cdy-${lab}-e${index}`;
}

/** Whether a namespace belongs to the lab. */
export function isOfLab(name: string, namespace: string): boolean {
  return new RegExp(`^cdy-${name}-(net|[hce]\\d+)$`).test(namespace);
}

/** Whether it is one of those, of a lab, that etcd runs in. */
export function runsEtcd(name: string, namespace: string): boolean {
  return new RegExp(`^cdy-${name}-(net|e\\d+)$`).test(namespace);
}

/** Lines for `ip -batch -`, each run inside the namespace named with it. */
export interface NamespaceBatch {
  readonly namespace: string;
  readonly lines: readonly string[];
}

export function underlayBatch({ name, mtu, links }: LabSpec): NamespaceBatch {
  const lines = LINKS.slice(0, links).flatMap(({ bridge, v4, v6 }) => [
    `link add name ${bridge} type bridge`,
    `link set dev ${bridge} mtu ${mtu} up`,
    `address add ${v4.gateway}/24 dev ${bridge}`,
    `address add ${v6.gateway}/64 dev ${bridge} nodad`,
  ]);
  return { namespace: underlay(name).namespace, lines: ['link set dev lo up', ...lines] };
}

/** Joins a host to the underlay: `eth0` there, a port named after the host here. */
export function hostBatches(
  { name, mtu }: LabSpec,
  host: Pick<LabHost, 'name' | 'namespace' | 'addresses' | 'link'>,
): NamespaceBatch[] {
  const { bridge, v4, v6 } = linkAt(host.link);
  const isIpv6 = (address: string) => address.includes(':');
  return [
    {
      namespace: underlay(name).namespace,
      lines: [
        `link add name ${host.name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${host.namespace}`,
        `link set dev ${host.name} master ${bridge} up`,
      ],
    },
    {
      namespace: host.namespace,
      lines: [
        'link set dev lo up',
        ...host.addresses.map((address) => `address add dev eth0 ${onLink(address)}`),
        'link set dev eth0 up',
        ...host.addresses.map((one) => `route add default via ${(isIpv6(one) ? v6 : v4).gateway}`),
      ],
    },
  ];
}

/** Nobody else can have it: without duplicate address detection (RFC 4862) it may be used at once. */
function onLink(address: string): string {
  return address.includes(':') ? `${address}/64 nodad` : `${address}/24`;
}

/**
 * Joins a container to its host's bridge.
 * @param subnets one a family: the bridge's address with its length, as in FLANNEL_SUBNET, and the container's address
 */
export function containerBatches(
  host: LabHost,
  subnets: readonly { readonly gateway: string; readonly address: string }[],
  mtu: number,
): NamespaceBatch[] {
  const each = subnets.map(({ gateway, address }) => {
    const [gatewayAddress, length] = gateway.split('/');
    const nodad = address.includes(':') ? ' nodad' : '';
    return { gatewayAddress, line: `address add ${address}/${length} dev eth0${nodad}` };
  });
  return [
    {
      namespace: host.namespace,
      lines: [
        `link add name ${host.container.name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${host.container.namespace}`,
        `link set dev ${host.container.name} master ${LAB_BRIDGE} up`,
      ],
    },
    {
      namespace: host.container.namespace,
      lines: [
        'link set dev lo up',
        ...each.map(({ line }) => line),
        'link set dev eth0 up',
        ...each.map(({ gatewayAddress }) => `route add default via ${gatewayAddress}`),
      ],
    },
  ];
}
