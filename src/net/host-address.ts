import type { Ip } from './ip.ts';
import { Prefix } from './prefix.ts';

/**
 * Not: unspecified, "this network", loopback, multicast, reserved, broadcast; of IPv6 neither what stands for an IPv4
 * address (RFC 4291 2.5.5) nor link-local addresses, which mean nothing without an interface.
 */
const NO_HOST = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '224.0.0.0/3',
  '::/96',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map(Prefix.parse);
/** RFC 1918, RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(Prefix.parse);

/** Whether a host can have the address, so that others can send to it. */
export function isHostAddress(ip: Ip): boolean {
  return !NO_HOST.some((prefix) => prefix.contains(ip));
}

/** Whether the address leads nowhere from outside the site that uses it. */
export function isPrivate(ip: Ip): boolean {
  return PRIVATE.some((prefix) => prefix.contains(ip));
}
