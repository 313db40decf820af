import { CorduroyError } from '../errors.ts';
import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';

/**
 * A lease as it stands in etcd, in flannel's form.
 *
 *     key    {prefix}/subnets/10.5.34.0-24
 *            {prefix}/subnets/10.12.13.0-24&fd00:12:13::-56
 *     value  {"PublicIP":"192.168.0.1","PublicIPv6":null}
 */
export interface LeaseRecord {
  /** IPv4 first; one or two. */
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

/** The last part of the key. */
const KEY_NAME = /^(\d+\.\d+\.\d+\.\d+)-(\d{1,2})(?:&([0-9a-f:.]+)-(\d{1,3}))?$/;

/** Characters: many times what any backend writes, and less nesting than JSON.stringify can bear. */
const MAX_VALUE = 4096;

/** An address of flannel's that stands for "none" where JSON null does not. */
const NO_ADDRESS = '0.0.0.0';

export function subnetsFolder(prefix: string): string {
  return `${prefix}/subnets/`;
}

export function leaseKey(prefix: string, subnets: readonly Prefix[]): string {
  return subnetsFolder(prefix) + leaseName(subnets);
}

/** The last part of the key. */
export function leaseName(subnets: readonly Prefix[]): string {
  return subnets.map(({ address, length }) => `${address}-${length}`).join('&');
}

/**
 * @param name the key without `{prefix}/subnets/`
 * @throws CorduroyError `malformed`
 */
export function parseLeaseName(name: string): Prefix[] {
  const [, v4, v4Length, v6, v6Length] = KEY_NAME.exec(name) ?? [];
  if (v4 === undefined) {
    throw new CorduroyError(
      'malformed',
      'the key does not have the form ADDRESS-LENGTH, such as 10.5.34.0-24',
    );
  }
  const subnets = [Prefix.parse(`${v4}/${v4Length}`)];
  if (v6 === undefined) return subnets;
  const second = Prefix.parse(`${v6}/${v6Length}`);
  if (second.family !== 6) throw new CorduroyError('malformed', 'the subnet after & is no IPv6 subnet');
  return [...subnets, second];
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

function addressOf(document: Record<string, unknown>, key: string, family: 4 | 6): Ip | undefined {
  const text = document[key];
  if (text === undefined || text === null || text === NO_ADDRESS) return undefined;
  const ip = typeof text === 'string' ? Ip.tryParse(text) : undefined;
  if (ip?.family !== family) throw new CorduroyError('malformed', `${key} is no IPv${family} address`);
  return ip;
}
