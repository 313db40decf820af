import type { Document, Problem } from '../../config/document.ts';
import type { Checked } from '../../config/network-config.ts';
import type { Family } from '../../net/ip.ts';
import { Secret } from '../../secret.ts';
import { smallestInner } from '../inner-mtu.ts';
import { isWireguardKey } from './keys.ts';

/** Flannel's names. */
export interface WireguardOptions {
  /** UDP: of the device for IPv4, or the only one. */
  readonly port: number;
  /** UDP: of the device for IPv6, where each family has its own. */
  readonly portV6: number;
  /** Bytes in the outer packet; absent: what the external interface takes. */
  readonly mtu: number | undefined;
  readonly presharedKey: Secret | undefined;
  /** Seconds; 0: none. */
  readonly keepalive: number;
  readonly mode: Mode;
}

/**
 * `separate`: each family has a device of its own, and travels in packets of the same family. Else one device carries both,
 * in packets of the family named, or of the one that leads to the peer (`auto`).
 */
const MODES = ['separate', 'auto', 'ipv4', 'ipv6'] as const;
export type Mode = (typeof MODES)[number];

/**
 * Bytes around a packet: outer IPv6 header (40), UDP (8), WireGuard's type and receiver (8), counter (8) and authentication
 * tag (16). Flannel reckons with it for IPv4, too.
 */
export const OVERHEAD = 80;

export function parseWireguardOptions(
  options: Document,
  families: readonly Family[],
): Checked<WireguardOptions> {
  const problems: Problem[] = [];
  const least = OVERHEAD + smallestInner(families);
  const value: WireguardOptions = {
    port: options.integer('ListenPort', problems, 1, 0xffff) ?? 51_820,
    portV6: options.integer('ListenPortV6', problems, 1, 0xffff) ?? 51_821,
    mtu: options.integer('MTU', problems, least, 0xffff),
    presharedKey: parsePresharedKey(options, problems),
    keepalive: options.integer('PersistentKeepaliveInterval', problems, 0, 0xffff) ?? 0,
    mode: parseMode(options, problems, families),
  };
  if (value.mode === 'separate' && families.length > 1 && value.port === value.portV6) {
    const rule = 'has to differ from ListenPort: in mode separate each family has a device of its own';
    problems.push({ key: 'Backend.ListenPortV6', value: value.portV6, rule });
  }
  const known = ['Type', 'ListenPort', 'ListenPortV6', 'MTU', 'PSK', 'PersistentKeepaliveInterval', 'Mode'];
  return {
    value: problems.length === 0 ? value : undefined,
    problems,
    unknownKeys: options.keysBut(known),
  };
}

/** 32 bytes of zero. */
const NO_KEY = `${'A'.repeat(43)}=`;

/** Whatever stands there is in no message. As in flannel, an empty one is none. */
function parsePresharedKey(options: Document, problems: Problem[]): Secret | undefined {
  const text = options.get('PSK');
  if (text === undefined || text === '') return undefined;
  if (isWireguardKey(text) && text !== NO_KEY) return new Secret(text);
  const rule =
    text === NO_KEY
      ? 'is all zeros, which WireGuard takes for none: leave it away, or take what wg genpsk prints'
      : 'has to be 32 bytes in base64, as wg genpsk prints them (what stands there is not shown)';
  problems.push({ key: 'Backend.PSK', value: undefined, rule });
  return undefined;
}

function parseMode(options: Document, problems: Problem[], families: readonly Family[]): Mode {
  const mode = options.choice('Mode', problems, MODES) ?? 'separate';
  // Hosts publish addresses of the families that the network has.
  const outer = mode === 'ipv4' ? 4 : mode === 'ipv6' ? 6 : undefined;
  if (outer !== undefined && !families.includes(outer))
    problems.push({
      key: 'Backend.Mode',
      value: mode,
      rule: `needs EnableIPv${outer} true: else hosts publish no such address`,
    });
  return mode;
}
