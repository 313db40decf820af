import { Secret } from '../secret.ts';

/** What a WireGuard device holds; its private key is known by the public one. */
export interface ObservedWireguard {
  /** Base64; empty while it has no key. */
  readonly publicKey: string;
  readonly port: number;
  readonly peers: ReadonlyMap<string, ObservedPeer>;
}

export interface ObservedPeer {
  readonly presharedKey: Secret | undefined;
  /** `192.0.2.1:51820`, `[2001:db8::1]:51820`; empty where there is none. It is where the peer last spoke from. */
  readonly endpoint: string;
  readonly allowedIps: readonly string[];
  /** Of the last handshake, seconds since 1970; 0: there was none. */
  readonly handshakeAt: number;
  readonly keepalive: number;
}

const NONE = '(none)';

/**
 * Reads what `wg show DEVICE dump` prints, tabs between the fields:
 *
 *     private-key  public-key  listen-port  fwmark
 *     public-key  preshared-key  endpoint  allowed-ips  latest-handshake  received  sent  persistent-keepalive
 */
export function parseWireguardDump(text: string): ObservedWireguard {
  const [device = [], ...peers] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t').map((field) => (field === NONE ? '' : field)));
  const [, publicKey = '', port = '0'] = device;
  return {
    publicKey,
    port: Number(port),
    peers: new Map(peers.map(([key = '', ...fields]) => [key, parsePeer(fields)])),
  };
}

function parsePeer([
  psk = '',
  endpoint = '',
  ips = '',
  handshake = '0',
  ,
  ,
  keepalive = '',
]: readonly string[]) {
  return {
    presharedKey: psk === '' ? undefined : new Secret(psk),
    endpoint,
    allowedIps: ips === '' ? [] : ips.split(','),
    handshakeAt: Number(handshake),
    keepalive: keepalive === 'off' ? 0 : Number(keepalive),
  };
}
