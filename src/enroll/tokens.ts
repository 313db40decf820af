import { isCode } from '../errors.ts';
import type { EtcdAdministration } from '../store/etcd/administration.ts';
import type { Entry, Store } from '../store/store.ts';
import { BUNDLES, type Bundle, bundleKey, formatBundle, parseBundle } from './bundle.ts';
import { formatToken, newSecret, newTokenId } from './token.ts';

/**
 * A token is a user of etcd of its own, with a role that may read one key, and that key, which hangs on an etcd lease:
 * when the lease ends the key is gone, and the token is worth nothing from that moment on, whether or not anybody
 * sweeps user and role away.
 */
export interface TokenOffice {
  readonly store: Store;
  readonly administration: EtcdAdministration;
}

export interface NewToken {
  readonly id: string;
  /** The word to paste. */
  readonly token: string;
  readonly endsAt: Date;
}

export interface TokenLine {
  readonly id: string;
  /** RFC 3339; absent when what etcd holds cannot be understood. */
  readonly createdAt?: string;
  /** Seconds. */
  readonly expiresIn: number;
}

const USER = /^join-([0-9a-f]{10})$/;

/** Also the name of its role. */
export function userOf(id: string): string {
  return `join-${id}`;
}

/**
 * @param ttl seconds
 * @param addresses at which joiners find etcd, `HOST:PORT`
 */
export async function createToken(
  { store, administration }: TokenOffice,
  {
    ttl,
    bundle,
    caFingerprint,
    addresses,
  }: {
    readonly ttl: number;
    readonly bundle: Omit<Bundle, 'version' | 'createdAt'>;
    readonly caFingerprint: string;
    readonly addresses: readonly string[];
  },
): Promise<NewToken> {
  const [id, secret, createdAt] = [newTokenId(), newSecret(), new Date()];
  const [key, user] = [bundleKey(id), userOf(id)];
  const lease = await store.grantLease(ttl);
  const endsAt = new Date(createdAt.getTime() + lease.ttl * 1000);
  // The key first: a user without one is what `sweepTokens` takes for a token that has ended.
  const value = formatBundle({ version: 1, createdAt: createdAt.toISOString(), ...bundle });
  await store.transaction([{ key, is: 'absent' }], [{ do: 'put', key, value, leaseId: lease.id }]);
  await administration.addRole(user, [{ permission: 'read', key }]);
  await administration.addUser(user, secret);
  await administration.grantRole(user, user);
  return { id, token: formatToken({ caFingerprint, id, secret, endsAt, addresses }), endsAt };
}

/** The tokens that let a host in now, those that end first first. */
export async function listTokens({ store }: TokenOffice): Promise<TokenLine[]> {
  const { entries } = await store.list(BUNDLES);
  const lines = await Promise.all(entries.map((entry) => tokenLine(store, entry)));
  return lines.filter((line) => line !== undefined).sort((one, other) => one.expiresIn - other.expiresIn);
}

async function tokenLine(store: Store, { key, value, leaseId }: Entry): Promise<TokenLine | undefined> {
  try {
    const expiresIn = leaseId === undefined ? 0 : (await store.leaseInfo(leaseId)).ttl;
    return { id: key.slice(BUNDLES.length), expiresIn, ...createdAt(value) };
  } catch (error) {
    if (isCode(error, 'lease-not-found')) return undefined; // It has ended since the list was read.
    throw error;
  }
}

function createdAt(value: string): { createdAt?: string } {
  try {
    return { createdAt: parseBundle(value).createdAt };
  } catch (error) {
    if (isCode(error, 'malformed')) return {};
    throw error;
  }
}

/** @returns whether there was one */
export async function revokeToken({ store, administration }: TokenOffice, id: string): Promise<boolean> {
  const user = userOf(id);
  const known = (await administration.users()).includes(user);
  await administration.removeUser(user); // From here on nobody logs in with it.
  const entry = await store.get(bundleKey(id));
  if (entry?.leaseId !== undefined) await store.revokeLease(entry.leaseId);
  else if (entry !== undefined) await store.transaction([], [{ do: 'delete', key: entry.key }]);
  await administration.removeRole(user);
  return known || entry !== undefined;
}

/** @returns the ids */
export async function revokeAllTokens(office: TokenOffice): Promise<string[]> {
  const ids = (await listTokens(office)).map(({ id }) => id);
  for (const id of ids) await revokeToken(office, id);
  await sweepTokens(office);
  return ids;
}

/** Removes the users and roles of tokens that have ended. */
export async function sweepTokens({ store, administration }: TokenOffice): Promise<void> {
  // In this order: a token that is being made has its key before it has its user.
  const [users, roles] = [await administration.users(), await administration.roles()];
  const { entries } = await store.list(BUNDLES);
  const alive = new Set(entries.map(({ key }) => userOf(key.slice(BUNDLES.length))));
  const ended = (name: string) => USER.test(name) && !alive.has(name);
  for (const name of users.filter(ended)) await administration.removeUser(name);
  for (const name of roles.filter(ended)) await administration.removeRole(name);
}
