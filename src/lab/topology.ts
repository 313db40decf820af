import { join } from 'node:path';

/**
 * A lab on one machine, all of it in network namespaces:
 *
 *     cdy-NAME-c1 ── cbr0 ┐ cdy-NAME-h1 ── 192.0.2.1 ┐
 *     (container)         │ (host, corduroyd)        ├── cdy-NAME-net: bridge "underlay", etcd on 192.0.2.254:2379
 *     cdy-NAME-c2 ── cbr0 ┘ cdy-NAME-h2 ── 192.0.2.2 ┘
 *
 * The addresses are of TEST-NET-1 (RFC 5737); they exist only inside the namespaces.
 */
export interface LabHost {
  /** `h1`, `h2`, … */
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  /** The container behind it: `c1`, `c2`, … */
  readonly container: { readonly name: string; readonly namespace: string };
  readonly runDir: string;
  readonly stateDir: string;
  readonly machineIdFile: string;
  readonly subnetFile: string;
  readonly logFile: string;
}

export interface LabSpec {
  readonly name: string;
  /** The overlay, in CIDR form. */
  readonly network: string;
  /** Of the links between hosts. Bytes. */
  readonly mtu: number;
}

export const LAB_NAME = /^[a-z0-9]{1,8}$/;
export const MAX_HOSTS = 200;
/** The bridge that corduroyd keeps on every lab host. */
export const LAB_BRIDGE = 'cbr0';
/** Not the run-dir of any instance: these are called /run/corduroy-NAME. */
const ROOT = '/run/corduroy.labs';

export function labFolder(name: string): string {
  return join(ROOT, name);
}

export function underlay(name: string): {
  readonly namespace: string;
  readonly etcd: string;
  readonly address: string;
} {
  return { namespace: `cdy-${name}-net`, etcd: 'http://192.0.2.254:2379', address: '192.0.2.254' };
}

export function labHost(lab: string, index: number): LabHost {
  const folder = join(labFolder(lab), `h${index}`);
  return {
    name: `h${index}`,
    namespace: `cdy-${lab}-h${index}`,
    address: `192.0.2.${index}`,
    container: { name: `c${index}`, namespace: `cdy-${lab}-c${index}` },
    runDir: join(folder, 'run'),
    stateDir: join(folder, 'state'),
    machineIdFile: join(folder, 'machine-id'),
    subnetFile: join(folder, 'subnet.env'),
    logFile: join(folder, 'corduroyd.log'),
  };
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

export function underlayBatch({ name, mtu }: LabSpec): NamespaceBatch {
  const { namespace, address } = underlay(name);
  const lines = [
    'link set dev lo up',
    'link add name underlay type bridge',
    `link set dev underlay mtu ${mtu} up`,
    `address add ${address}/24 dev underlay`,
  ];
  return { namespace, lines };
}

/** Joins a host to the underlay: `eth0` there, a port named after the host here. */
export function hostBatches(
  { name, mtu }: LabSpec,
  host: Pick<LabHost, 'name' | 'namespace' | 'address'>,
): NamespaceBatch[] {
  const net = underlay(name);
  return [
    {
      namespace: net.namespace,
      lines: [
        `link add name ${host.name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${host.namespace}`,
        `link set dev ${host.name} master underlay up`,
      ],
    },
    {
      namespace: host.namespace,
      lines: [
        'link set dev lo up',
        `address add ${host.address}/24 dev eth0`,
        'link set dev eth0 up',
        `route add default via ${net.address}`,
      ],
    },
  ];
}

/**
 * Joins a container to its host's bridge.
 * @param gateway the bridge's address with its length, as in FLANNEL_SUBNET
 */
export function containerBatches(
  host: LabHost,
  gateway: string,
  address: string,
  mtu: number,
): NamespaceBatch[] {
  const [gatewayAddress, length] = gateway.split('/');
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
        `address add ${address}/${length} dev eth0`,
        'link set dev eth0 up',
        `route add default via ${gatewayAddress}`,
      ],
    },
  ];
}
