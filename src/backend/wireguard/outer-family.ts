import type { ExternalInterface } from '../../host/state.ts';
import type { LeaseAttributes } from '../../lease/lease-record.ts';
import { isPrivate } from '../../net/host-address.ts';
import type { Family } from '../../net/ip.ts';
import type { Mode } from './options.ts';

/** The family of the packets to a peer, where one device carries both. */
export function outerFamily(
  mode: Exclude<Mode, 'separate'>,
  { publicIp, publicIpv6 }: LeaseAttributes,
  { v4, v6 }: ExternalInterface,
): Family {
  if (mode !== 'auto') return mode === 'ipv4' ? 4 : 6;
  if (publicIp === undefined || v4 === undefined) return 6;
  if (publicIpv6 === undefined || v6 === undefined) return 4;
  // As flannel reckons: IPv4 where it leads to the peer from anywhere, else IPv6 where that does from here, else IPv4.
  if (!isPrivate(publicIp)) return 4;
  return isPrivate(publicIpv6) || isPrivate(v6.publicIp) ? 4 : 6;
}
