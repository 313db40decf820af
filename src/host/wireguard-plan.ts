import { formatEndpoint } from '../net/endpoint.ts';
import { Secret } from '../secret.ts';
import type { WireguardLink, WireguardPeer } from './state.ts';
import type { ObservedPeer, ObservedWireguard } from './wireguard-dump.ts';

/** What makes a device what it should be. */
export interface WireguardPlan {
  /** For `wg addconf`: what is new or different; `undefined`: nothing is. */
  readonly config: Secret | undefined;
  /** Public keys of peers to remove after that: what one of them had may be another's by then. */
  readonly stale: readonly string[];
  /** For the log. */
  readonly changes: readonly string[];
}

/** What is known beside the device. */
export interface WireguardContext {
  /** The endpoints that were wished when the device was last brought about, by public key. */
  readonly endpoints: ReadonlyMap<string, string>;
  /** Seconds since 1970. */
  readonly now: number;
}

/** Seconds from a handshake for which its session is good (REJECT_AFTER_TIME of the WireGuard paper, 6.1). */
const SESSION = 180;
/** Stands for none. */
const NO_PRESHARED_KEY = Buffer.alloc(32).toString('base64');
/** So many peers are named in a line of the log. */
const NAMED = 3;

export function planWireguard(
  wanted: WireguardLink,
  found: ObservedWireguard,
  context: WireguardContext,
): WireguardPlan {
  const { name, publicKey, privateKey, port } = wanted;
  const keep = new Set(wanted.peers.map((peer) => peer.publicKey));
  const stale = [...found.peers.keys()].filter((key) => !keep.has(key));
  const rotated = new Set(stale.flatMap((key) => spokenWith(found.peers.get(key))));
  const added: WireguardPeer[] = [];
  const changed: WireguardPeer[] = [];
  const sections: string[] = [];
  for (const peer of wanted.peers) {
    const before = found.peers.get(peer.publicKey);
    if (before === undefined) {
      added.push(peer);
      // Turning keepalives on sends one, and that begins a handshake: who has a new key cannot begin one itself.
      if (peer.keepalive === 0 && peer.allowedIps.some((prefix) => rotated.has(prefix.toString())))
        sections.push(section({ ...peer, keepalive: 1 }, true));
      sections.push(section(peer, true));
    } else if (!isRight(peer, before, context)) {
      changed.push(peer);
      sections.push(section(peer, isMisled(peer, before, context)));
    }
  }
  const device = [
    ...(found.publicKey === publicKey ? [] : [`PrivateKey = ${privateKey.reveal()}`]),
    ...(found.port === port ? [] : [`ListenPort = ${port}`]),
  ];
  const lines = [...(device.length === 0 ? [] : ['[Interface]', ...device]), ...sections];
  const changes = [
    ...(found.publicKey === publicKey ? [] : [`has the key ${publicKey}`]),
    ...(found.port === port ? [] : [`listens on port ${port}`]),
    ...summary('has new peers', added.map(nameOf)),
    ...summary('has changed peers', changed.map(nameOf)),
    ...summary('has lost peers', stale),
  ];
  return {
    config: lines.length === 0 ? undefined : new Secret(`${lines.join('\n')}\n`),
    stale,
    changes: changes.map((text) => `${name} ${text}`),
  };
}

/** What packets of a peer that this host has had a session with may come from. */
function spokenWith(peer: ObservedPeer | undefined): readonly string[] {
  return peer === undefined || peer.handshakeAt === 0 ? [] : peer.allowedIps;
}

function isRight(peer: WireguardPeer, found: ObservedPeer, context: WireguardContext): boolean {
  const { presharedKey, allowedIps, keepalive } = peer;
  const isSecret = presharedKey?.equals(found.presharedKey) ?? found.presharedKey === undefined;
  const ips = new Set(found.allowedIps);
  const areIps = ips.size === allowedIps.length && allowedIps.every((prefix) => ips.has(prefix.toString()));
  return isSecret && areIps && keepalive === found.keepalive && !isMisled(peer, found, context);
}

/**
 * Whether packets go elsewhere than they should. WireGuard follows a peer to where it speaks from, behind a NAT say: that
 * stands until the peer publishes something else, or has been silent for too long.
 */
function isMisled(
  { publicKey, endpoint }: WireguardPeer,
  found: ObservedPeer,
  { endpoints, now }: WireguardContext,
): boolean {
  const wished = formatEndpoint(endpoint);
  if (found.endpoint === wished) return false;
  return (endpoints.get(publicKey) ?? wished) !== wished || now - found.handshakeAt > SESSION;
}

/** AllowedIPs replace those there were; an endpoint that is not named stays. See wg(8). */
function section(
  { publicKey, presharedKey, endpoint, allowedIps, keepalive }: WireguardPeer,
  withEndpoint: boolean,
): string {
  return [
    '[Peer]',
    `PublicKey = ${publicKey}`,
    `PresharedKey = ${presharedKey?.reveal() ?? NO_PRESHARED_KEY}`,
    ...(withEndpoint ? [`Endpoint = ${formatEndpoint(endpoint)}`] : []),
    `AllowedIPs = ${allowedIps.join(', ')}`,
    `PersistentKeepalive = ${keepalive}`,
  ].join('\n');
}

function nameOf({ allowedIps }: WireguardPeer): string {
  return allowedIps.join(' and ');
}

function summary(what: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [`${what}: ${names.length > NAMED ? names.length : names.join(', ')}`];
}
