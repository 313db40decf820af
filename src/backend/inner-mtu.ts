import type { ExternalInterface } from '../host/state.ts';
import type { Family } from '../net/ip.ts';

/** Bytes that any device of a family has to take: RFC 791, RFC 8200. */
const SMALLEST: Readonly<Record<Family, number>> = { 4: 68, 6: 1280 };

/** The least that has to fit inside. @param families what is inside */
export function smallestInner(families: readonly Family[]): number {
  return Math.max(...families.map((family) => SMALLEST[family]));
}

/** @param mtu Backend.MTU, as in flannel of the outer packet @param overhead bytes around the inner one */
export function innerMtu(mtu: number | undefined, iface: ExternalInterface, overhead: number): number {
  return Math.min(mtu ?? iface.mtu, iface.mtu) - overhead;
}

export function mtuWarnings(mtu: number | undefined, { name, mtu: most }: ExternalInterface): string[] {
  if (mtu === undefined || mtu <= most) return [];
  return [
    `the network config says Backend.MTU ${mtu}, and ${name} takes no more than ${most} bytes in a packet: ` +
      `this host goes by ${most}. Raise the MTU of ${name}, or leave Backend.MTU away`,
  ];
}
