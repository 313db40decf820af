import type { Ip } from '../net/ip.ts';
import type { Ownership } from './ownership.ts';
import {
  type BridgeLink,
  formatInterfaceAddress,
  type InterfaceAddress,
  type LinkState,
  type ObservedLink,
  type Port,
  type TunLink,
  type VxlanLink,
} from './state.ts';

/** Packets that wait for the engine; the kernel's 500 for a TUN is what a sender of small ones makes in a millisecond. */
const TUN_QUEUE = 1000;

/** Whether a link of ours has to go before what is wanted can be made: it has a name, or a VNI, that is needed. */
export function isInTheWay(found: ObservedLink, wanted: ReadonlyMap<string, LinkState>): boolean {
  const sameName = wanted.get(found.name);
  if (sameName !== undefined) return !isAlike(sameName, found);
  return [...wanted.values()].some((link) => link.kind === 'vxlan' && hasVni(found, link));
}

/** Whether the link can become what is wanted; kind, queues and what the outer header is made of are for a link's life. */
function isAlike(wanted: LinkState, found: ObservedLink): boolean {
  switch (wanted.kind) {
    case 'tun':
      return found.kind === 'tun' && isMultiQueue(wanted) === found.multiQueue;
    case 'bridge':
      return found.kind === 'bridge';
    case 'wireguard':
      return found.kind === 'wireguard' || found.kind === 'tun';
    case 'ipip':
      return found.kind === 'ipip' && isUnder(wanted, found);
    case 'vxlan':
      return (
        isUnder(wanted, found) &&
        hasVni(found, wanted) &&
        found.tunnel?.vxlan?.learning === wanted.learning &&
        found.tunnel.vxlan.gbp === wanted.gbp
      );
  }
}

function isMultiQueue({ queues = 1 }: TunLink): boolean {
  return queues > 1;
}

function isUnder({ local, device }: { local: Ip; device: string }, { tunnel }: ObservedLink): boolean {
  return local.equals(tunnel?.local) && tunnel?.device === device;
}

/** The kernel has one VXLAN for a VNI, port and outer family. */
export function hasVni({ tunnel: { local, vxlan } = {} }: ObservedLink, wanted: VxlanLink): boolean {
  return (
    vxlan?.vni === wanted.vni && vxlan.port === wanted.port && (local?.family ?? 4) === wanted.local.family
  );
}

/**
 * What makes a link, or makes one that is there what it should be.
 * @param found is Corduroy's, see obstacles.ts
 */
export function planLink(wanted: LinkState, found: ObservedLink | undefined, own: Ownership): string[] {
  const creation = found === undefined ? createLine(wanted) : [];
  if (creation === undefined) return [];
  const { name } = wanted;
  const mac = wanted.kind === 'vxlan' ? wanted.mac : undefined;
  const addresses = new Set(wanted.addresses.map(formatInterfaceAddress));
  const present = new Set(found?.addresses.map(formatInterfaceAddress));
  return [
    ...creation,
    ...(wanted.kind !== 'tun' || found?.queueLength === TUN_QUEUE
      ? []
      : [`link set dev ${name} txqueuelen ${TUN_QUEUE}`]),
    ...(found?.alias === own.mark ? [] : [`link set dev ${name} alias ${own.mark}`]),
    ...(found?.mtu === wanted.mtu ? [] : [`link set dev ${name} mtu ${wanted.mtu}`]),
    ...(mac === undefined || found === undefined || found.mac === mac
      ? []
      : [`link set dev ${name} address ${mac}`]),
    // A device that has no address left, for a moment only, loses its routes.
    ...wanted.addresses
      .filter((address) => !present.has(formatInterfaceAddress(address)))
      .map((address) => addLine(address, name)),
    ...[...present]
      .filter((address) => !addresses.has(address))
      .map((address) => `address delete ${address} dev ${name}`),
    ...(found?.up ? [] : [`link set dev ${name} up`]),
  ];
}

/** Nobody else has an address of this host's subnet: looking for one would only make it useless for a second. */
function addLine(address: InterfaceAddress, name: string): string {
  const nodad = address.ip.family === 6 ? ' nodad' : '';
  return `address add ${formatInterfaceAddress(address)} dev ${name}${nodad}`;
}

/** Whoever deletes a bridge leaves its ports behind; those of one that stands are for others to choose. */
export function planPorts({ name, ports = [] }: BridgeLink, found: readonly ObservedLink[]): string[] {
  if (found.some((link) => link.name === name)) return [];
  return found
    .filter((link) => link.master === undefined && ports.some((port) => isPort(port, link)))
    .map((link) => `link set dev ${link.name} master ${name}`);
}

function isPort(port: Port, { index, name }: ObservedLink): boolean {
  return port.index === index && port.name === name;
}

/** @returns `undefined` where it takes more than a line */
function createLine(link: LinkState): string[] | undefined {
  const { name } = link;
  switch (link.kind) {
    case 'tun':
      return [`tuntap add dev ${name} mode tun${isMultiQueue(link) ? ' multi_queue' : ''}`];
    case 'bridge':
      return [`link add name ${name} ${link.mac === undefined ? '' : `address ${link.mac} `}type bridge`];
    case 'ipip':
      return [`link add name ${name} type ipip local ${link.local} dev ${link.device}`];
    case 'vxlan':
      return [vxlanLine(link)];
    case 'wireguard':
      return undefined;
  }
}

function vxlanLine(link: VxlanLink): string {
  const { name, mac, vni, port, local, device, learning, gbp } = link;
  return (
    `link add name ${name} address ${mac} type vxlan id ${vni} dstport ${port} local ${local} dev ${device} ` +
    `${learning ? 'learning' : 'nolearning'}${gbp ? ' gbp' : ''}`
  );
}
