import { CorduroyError } from '../errors.ts';
import { type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { corduroyFolder } from './node-record.ts';

/**
 * A lease as it stands in etcd, in flannel's form; flannel has none for IPv6 alone, and its key lies where flannel does
 * not look.
 *
 *     key    {prefix}/subnets/10.5.34.0-24
 *            {prefix}/subnets/10.12.13.0-24&fd00:12:13::-56
 *            {prefix}/corduroy/subnets/fd00:12:13::-56
 *     value  {"PublicIP":"192.168.0.1","PublicIPv6":null}
 */
export interface LeaseRecord {
  /** IPv4 first; one or two, of different families. */
  readonly subnets: readonly Prefix[];
  readonly attributes: LeaseAttributes;
}

/** Both addresses are absent in a reservation that is nobody's yet, and nowhere else. */
export interface LeaseAttributes {
  readonly publicIp: Ip | undefined;
  readonly publicIpv6: Ip | undefined;
  /** Absent: udp or alloc. */
  readonly backendType?: string;
  readonly backendData?: unknown;
  readonly backendV6Data?: unknown;
}

/** A subnet in the last part of the key, which has one or, joined by `&`, two. */
const KEY_SUBNET = /^([0-9a-fA-F:.]+)-(\d{1,3})$/;

/** What hosts are known by to each other, and to flannel. */
export type PublicAddresses = Pick<LeaseAttributes, 'publicIp' | 'publicIpv6'>;

/** Characters: many times what any backend writes, and less nesting than JSON.stringify can bear. */
const MAX_VALUE = 4096;

/** An address of flannel's that stands for "none" where JSON null does not. */
const NO_ADDRESS = '0.0.0.0';

/** Where leases are, by the family of their first subnet. */
export type LeaseFolders = Readonly<Record<Family, string>>;

export function leaseFolders(prefix: string): LeaseFolders {
  return { 4: `${prefix}/subnets/`, 6: `${corduroyFolder(prefix)}subnets/` };
}

/** @returns the family whose folder it lies in; `undefined`: it is no lease's key */
export function folderOf(key: string, folders: LeaseFolders): Family | undefined {
  if (key.startsWith(folders[4])) return 4;
  return key.startsWith(folders[6]) ? 6 : undefined;
}

export function leaseKey(prefix: string, subnets: readonly Prefix[]): string {
  return leaseFolders(prefix)[subnets[0]?.family ?? 4] + leaseName(subnets);
}

/** The last part of the key. */
export function leaseName(subnets: readonly Prefix[]): string {
  return subnets.map(({ address, length }) => `${address}-${length}`).join('&');
}

/**
 * The subnets of a key, also where another text than `leaseName` gives spells them.
 * @param name the key without its folder
 * @param first the family that the folder is for
 * @throws CorduroyError `malformed`
 */
export function parseLeaseName(name: string, first: Family): Prefix[] {
  const subnets = name.split('&').map((part) => {
    const [, address, length] = KEY_SUBNET.exec(part) ?? [];
    return address === undefined ? undefined : Prefix.parse(`${address}/${length}`);
  });
  const families = subnets.map((subnet) => subnet?.family).join('&');
  if (families === `${first}` || (first === 4 && families === '4&6'))
    return subnets.filter((subnet) => subnet !== undefined);
  const example = first === 4 ? '10.5.34.0-24' : 'fd00:12:13::-56';
  throw new CorduroyError(
    'malformed',
    families === '4&4' && first === 4
      ? 'the subnet after & is no IPv6 subnet'
      : `the key does not have the form ADDRESS-LENGTH, such as ${example}`,
  );
}

/** Compact JSON in flannel's key order; PublicIPv6 is always present. Equal attributes give equal bytes. */
export function formatLeaseValue(attributes: LeaseAttributes): string {
  return JSON.stringify({
    PublicIP: attributes.publicIp?.toString() ?? NO_ADDRESS,
    PublicIPv6: attributes.publicIpv6?.toString() ?? null,
    ...(attributes.backendType === undefined ? {} : { BackendType: attributes.backendType }),
    ...(attributes.backendData === undefined ? {} : { BackendData: attributes.backendData }),
    ...(attributes.backendV6Data === undefined ? {} : { BackendV6Data: attributes.backendV6Data }),
  });
}

/**
 * @param mayBeNobodys whether PublicIP may say "none" and nothing else name a host: what is kept free is reserved so
 * @throws CorduroyError `malformed` with the key that is wrong. Unknown keys are ignored.
 */
export function parseLeaseValue(text: string, mayBeNobodys = false): LeaseAttributes {
  if (text.length > MAX_VALUE)
    throw new CorduroyError('malformed', `the value is longer than ${MAX_VALUE} characters`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new CorduroyError('malformed', 'the value is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null)
    throw new CorduroyError('malformed', 'the value is no JSON object');
  const document = parsed as Record<string, unknown>;
  const publicIp = addressOf(document, 'PublicIP', 4);
  const publicIpv6 = addressOf(document, 'PublicIPv6', 6);
  const isNobodys = publicIp === undefined && publicIpv6 === undefined;
  if (isNobodys && !(mayBeNobodys && document.PublicIP === NO_ADDRESS)) {
    throw new CorduroyError('malformed', 'the value has neither PublicIP nor PublicIPv6');
  }
  const { BackendType: backendType, BackendData: backendData, BackendV6Data: backendV6Data } = document;
  if (backendType !== undefined && typeof backendType !== 'string') {
    throw new CorduroyError('malformed', 'BackendType is no string');
  }
  return {
    publicIp,
    publicIpv6,
    ...(backendType === undefined || backendType === '' ? {} : { backendType }),
    ...(backendData === undefined || backendData === null ? {} : { backendData }),
    ...(backendV6Data === undefined || backendV6Data === null ? {} : { backendV6Data }),
  };
}

/** Whether two bear the same public address: what flannel knows a host by, which is the IPv4 one where there is one. */
export function isOwn(one: PublicAddresses, other: PublicAddresses): boolean {
  if (one.publicIp !== undefined || other.publicIp !== undefined) {
    return one.publicIp?.equals(other.publicIp) ?? false;
  }
  return one.publicIpv6?.equals(other.publicIpv6) ?? false;
}

/** Whether they have any address in common: so has a machine whose network goes from one family to the other. */
export function sharesAddress(one: PublicAddresses, other: PublicAddresses): boolean {
  return (one.publicIp?.equals(other.publicIp) || one.publicIpv6?.equals(other.publicIpv6)) ?? false;
}

function addressOf(document: Record<string, unknown>, key: string, family: 4 | 6): Ip | undefined {
  const text = document[key];
  if (text === undefined || text === null || text === NO_ADDRESS) return undefined;
  const ip = typeof text === 'string' ? Ip.tryParse(text) : undefined;
  if (ip?.family !== family) throw new CorduroyError('malformed', `${key} is no IPv${family} address`);
  return ip;
}
