import { CorduroyError } from '../errors.ts';
import { Ip } from '../net/ip.ts';
import { printable } from '../printable.ts';

/**
 * What a host says of itself beside its lease, where flannel does not look: who holds which subnet, whatever its public
 * address. Written in one transaction with the lease, and bound to the same etcd lease.
 *
 *     key    {prefix}/corduroy/nodes/6f0e…  (the node id)
 *     value  {"hostName":"h1","version":"0.1.0","capabilities":["ecn"],"lease":"10.244.3.0-24","publicIP":"192.0.2.1","hardware":"91…"}
 *            and "publicIPv6":"2001:db8::1" before "hardware", of a host that publishes one
 */
export interface NodeRecord {
  readonly nodeId: NodeId;
  readonly hostName: string;
  /** Of its corduroyd. */
  readonly version: string;
  readonly capabilities: readonly string[];
  /** Last part of the key of the lease it holds: `10.244.3.0-24`. */
  readonly lease: string;
  readonly publicIp: Ip | undefined;
  readonly publicIpv6: Ip | undefined;
  /** Tells two machines with one node id apart: a copied disk does not take it along. */
  readonly hardware: string;
}

/** 32 hexadecimal digits, of one machine and instance; see host/identity.ts. */
export type NodeId = string & { readonly __brand: 'NodeId' };

const NODE_ID = /^[0-9a-f]{32}$/;
/** Characters. */
const MAX_VALUE = 4096;
const MAX_TEXT = 253;
const MAX_CAPABILITIES = 32;

export function isNodeId(text: string): text is NodeId {
  return NODE_ID.test(text);
}

/** Everything that is Corduroy's and not flannel's. */
export function corduroyFolder(prefix: string): string {
  return `${prefix}/corduroy/`;
}

export function nodesFolder(prefix: string): string {
  return `${corduroyFolder(prefix)}nodes/`;
}

export function nodeKey(prefix: string, id: NodeId): string {
  return nodesFolder(prefix) + id;
}

export function formatNodeValue(record: NodeRecord): string {
  const { hostName, version, capabilities, lease, publicIp, publicIpv6, hardware } = record;
  const publicIP = publicIp?.toString() ?? null;
  const second = publicIpv6 && { publicIPv6: publicIpv6.toString() };
  return JSON.stringify({ hostName, version, capabilities, lease, publicIP, ...second, hardware });
}

/**
 * @param name the key without the folder
 * @throws CorduroyError `malformed`. Unknown keys are ignored.
 */
export function parseNode(name: string, value: string): NodeRecord {
  if (!isNodeId(name)) throw malformed('the key is no node id (32 hexadecimal digits)');
  if (value.length > MAX_VALUE) throw malformed(`the value is longer than ${MAX_VALUE} characters`);
  let document: unknown;
  try {
    document = JSON.parse(value);
  } catch {
    throw malformed('the value is not JSON');
  }
  if (typeof document !== 'object' || document === null) throw malformed('the value is no JSON object');
  const { hostName, version, capabilities, lease, publicIP, publicIPv6, hardware } = document as Record<
    string,
    unknown
  >;
  const addressOf = (value: unknown) => (typeof value === 'string' ? Ip.tryParse(value) : undefined);
  return {
    nodeId: name,
    hostName: text('hostName', hostName),
    version: text('version', version),
    capabilities: Array.isArray(capabilities)
      ? capabilities.slice(0, MAX_CAPABILITIES).map((one) => text('capabilities', one))
      : [],
    lease: text('lease', lease),
    publicIp: addressOf(publicIP),
    publicIpv6: addressOf(publicIPv6),
    hardware: text('hardware', hardware),
  };
}

function text(key: string, value: unknown): string {
  if (typeof value !== 'string') throw malformed(`${key} is no string`);
  return printable(value, MAX_TEXT);
}

function malformed(message: string): CorduroyError {
  return new CorduroyError('malformed', message);
}
