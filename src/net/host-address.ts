import type { Ip } from './ip.ts';
import { Prefix } from './prefix.ts';

/** Not: unspecified, "this network", loopback, multicast, reserved, broadcast. */
const NO_HOST = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/128', '::1/128', 'ff00::/8'].map(
  Prefix.parse,
);

/** Whether a host can have the address, so that others can send to it. */
export function isHostAddress(ip: Ip): boolean {
  return !NO_HOST.some((prefix) => prefix.contains(ip));
}
