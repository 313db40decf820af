import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { WireguardKey } from '../backend/backend.ts';
import { isWireguardKey } from '../backend/wireguard/keys.ts';
import { CorduroyError } from '../errors.ts';
import { readIfThere, writeDurably } from '../host/atomic-file.ts';
import { Secret } from '../secret.ts';

/** The WireGuard keys of this host, a file each in the state-dir. */
export class WireguardKeys {
  readonly #stateDir: string;
  #keys: ReadonlyMap<string, WireguardKey> = new Map();

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
  }

  /** Makes those that are not there yet; what is there is never replaced. @throws CorduroyError `host-file` */
  get(names: readonly string[]): ReadonlyMap<string, WireguardKey> {
    const missing = names.filter((name) => !this.#keys.has(name));
    if (missing.length > 0) {
      const found = missing.map((name) => [name, this.#read(name) ?? this.#write(name, newKey())] as const);
      this.#keys = new Map([...this.#keys, ...found]);
    }
    return new Map([...this.#keys].filter(([name]) => names.includes(name)));
  }

  /** Puts others in place of keys, on disk first. @throws CorduroyError `host-file` */
  replace(keys: ReadonlyMap<string, WireguardKey>): void {
    for (const [name, key] of keys) this.#write(name, key);
    this.#keys = new Map([...this.#keys, ...keys]);
  }

  #read(name: string): WireguardKey | undefined {
    const path = this.#path(name);
    const text = readIfThere(path)?.trim();
    if (text === undefined) return undefined;
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      const text = mode.toString(8).padStart(4, '0');
      throw new CorduroyError(
        'host-file',
        `${path} holds the WireGuard key of this host and has mode ${text}, so others may know it: chmod 600 ${path}, ` +
          'and when corduroyd has taken it up: corduroy wireguard rotate',
        { retryable: true },
      );
    }
    if (!isWireguardKey(text)) {
      throw new CorduroyError(
        'host-file',
        `${path} does not hold a WireGuard key (32 bytes in base64): put back what was there, or remove it and this host ` +
          'makes itself another one',
        { retryable: true },
      );
    }
    return keyOf(Buffer.from(text, 'base64'));
  }

  #write(name: string, key: WireguardKey): WireguardKey {
    writeDurably(this.#path(name), `${key.privateKey.reveal()}\n`, 0o600);
    return key;
  }

  #path(name: string): string {
    return join(this.#stateDir, `${name}.key`);
  }
}

/** Another one each time. */
export function newKey(): WireguardKey {
  const bytes = randomBytes(KEY_LENGTH);
  // RFC 7748, 5: every X25519 does that to its scalar; done before, the key is the one that `wg` shows.
  bytes.writeUInt8(bytes.readUInt8(0) & 248, 0);
  bytes.writeUInt8((bytes.readUInt8(KEY_LENGTH - 1) & 127) | 64, KEY_LENGTH - 1);
  return keyOf(bytes);
}

function keyOf(bytes: Buffer): WireguardKey {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8, bytes]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    privateKey: new Secret(bytes.toString('base64')),
    publicKey: Buffer.from(x, 'base64url').toString('base64'),
  };
}

/** Bytes. */
const KEY_LENGTH = 32;
/** What stands before the bytes of an X25519 private key (RFC 8410, 7). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
