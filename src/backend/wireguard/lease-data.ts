import type { LeaseAttributes } from '../../lease/lease-record.ts';
import type { Family } from '../../net/ip.ts';
import { DATA_KEYS, fieldsOf, shownField } from '../backend-data.ts';
import { isWireguardKey } from './keys.ts';

/**
 * A host's end, as its lease describes it, once for each family that the network has:
 *
 *     "BackendData":{"PublicKey":"…","Port":51820},"BackendV6Data":{"PublicKey":"…","Port":51821}
 */
export interface PeerData {
  readonly publicKey: string;
  /** Absent: the reader's own (flanneld of older versions does not say it). */
  readonly port: number | undefined;
}

/** In flannel's key order. */
export function formatPeerData(publicKey: string, port: number): object {
  return { PublicKey: publicKey, Port: port };
}

/** What a lease says of the peer's end for a family, or why that is of no use. */
export function parsePeerData(
  attributes: LeaseAttributes,
  family: Family,
): PeerData | { readonly objection: string } {
  const key = DATA_KEYS[family];
  const found = fieldsOf(attributes, family, EXAMPLE);
  if ('objection' in found) return found;
  const { PublicKey: publicKey, Port: port } = found.fields;
  if (!isWireguardKey(publicKey)) {
    return {
      objection: `the PublicKey in its ${key} is ${shownField(publicKey)}, and has to be 32 bytes in base64`,
    };
  }
  if (port === undefined || port === null || port === 0) return { publicKey, port: undefined };
  if (!Number.isInteger(port) || Number(port) < 1 || Number(port) > 0xffff)
    return { objection: `the Port in its ${key} is ${shownField(port)}, and has to be one of 1 to 65535` };
  return { publicKey, port: Number(port) };
}

const EXAMPLE = JSON.stringify(formatPeerData('…', 51_820));
