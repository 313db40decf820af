import type { WireguardKey } from '../backend/backend.ts';

/** The WireGuard keys of this host, kept in the state-dir. */
export class WireguardKeys {
  /** @throws CorduroyError `host-file` */
  get(_names: readonly string[]): ReadonlyMap<string, WireguardKey> {
    return new Map();
  }
}
