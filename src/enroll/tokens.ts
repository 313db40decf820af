import { isCode } from '../errors.ts';
import type { EtcdAdministration } from '../store/etcd/administration.ts';
import type { Entry, Store } from '../store/store.ts';
import { BUNDLES, type Bundle, bundleKey, formatBundle, parseBundle } from './bundle.ts';
import { formatToken, newSecret, newTokenId } from './token.ts';

/**
 * A token is a user of etcd of its own, with a role that may read one key, and that key, which hangs on an etcd lease:
 * when the lease ends the key is gone, and the token is worth nothing from that moment on, whether or not anybody
 * sweeps user and role away. But etcd asks nobody's name for LeaseKeepAlive: a lease that somebody keeps alive ends when
 * `sweepTokens` finds the end that stands in the key.
 */
export interface TokenOffice {
  readonly store: Store;
  readonly administration: EtcdAdministration;
  /** Where etcd is. A token that names another place leads nowhere. */
  readonly endpoints: readonly string[];
}

export interface NewToken {
  readonly id: string;
  /** The word to paste. */
  readonly token: string;
  readonly endsAt: Date;
}

export interface TokenLine {
  readonly id: string;
  /** RFC 3339. */
  readonly createdAt: string;
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
    readonly bundle: Omit<Bundle, 'version' | 'createdAt' | 'endsAt'>;
    readonly caFingerprint: string;
    readonly addresses: readonly string[];
  },
): Promise<NewToken> {
  const [id, secret, createdAt] = [newTokenId(), newSecret(), new Date()];
  const [key, user] = [bundleKey(id), userOf(id)];
  const lease = await store.grantLease(ttl);
  const endsAt = new Date(createdAt.getTime() + lease.ttl * 1000);
  // The key first: a user without one is what `sweepTokens` takes for a token that has ended.
  const [made, ends] = [createdAt.toISOString(), endsAt.toISOString()];
  const value = formatBundle({ version: 1, createdAt: made, endsAt: ends, ...bundle });
  await store.transaction([{ key, is: 'absent' }], [{ do: 'put', key, value, leaseId: lease.id }]);
  await administration.addRole(user, [{ permission: 'read', key }]);
  await administration.addUser(user, secret);
  await administration.grantRole(user, user);
  return { id, token: formatToken({ caFingerprint, id, secret, endsAt, addresses }), endsAt };
}

/** The tokens that let a host in now, those that end first first. */
export async function listTokens(office: TokenOffice): Promise<TokenLine[]> {
  const { entries } = await office.store.list(BUNDLES);
  const lines = await Promise.all(entries.map((entry) => tokenLine(office, entry)));
  return lines.filter((line) => line !== undefined).sort((one, other) => one.expiresIn - other.expiresIn);
}

async function tokenLine(
  office: TokenOffice,
  { key, value, leaseId }: Entry,
): Promise<TokenLine | undefined> {
  const bundle = usableBundle(office, value);
  if (bundle === undefined || leaseId === undefined) return undefined;
  try {
    const { ttl } = await office.store.leaseInfo(leaseId);
    return {
      id: key.slice(BUNDLES.length),
      createdAt: bundle.createdAt,
      expiresIn: Math.min(ttl, Math.floor((Date.parse(bundle.endsAt) - Date.now()) / 1000)),
    };
  } catch (error) {
    if (isCode(error, 'lease-not-found')) return undefined; // It has ended since the list was read.
    throw error;
  }
}

/** @returns `undefined` for what lets nobody in, or should not */
function usableBundle({ endpoints }: TokenOffice, value: string): Bundle | undefined {
  try {
    const bundle = parseBundle(value);
    const leadsHere = bundle.endpoints.some((endpoint) => endpoints.includes(endpoint));
    return leadsHere && Date.parse(bundle.endsAt) > Date.now() ? bundle : undefined;
  } catch (error) {
    if (isCode(error, 'malformed')) return undefined;
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

/** Revokes tokens that are past their end or lead nowhere, and removes the users and roles of those that are gone. */
export async function sweepTokens(office: TokenOffice): Promise<void> {
  const { store, administration } = office;
  // In this order: a token that is being made has its key before it has its user.
  const [users, roles] = [await administration.users(), await administration.roles()];
  const { entries } = await store.list(BUNDLES);
  const alive = new Set<string>();
  for (const { key, value } of entries) {
    const id = key.slice(BUNDLES.length);
    if (usableBundle(office, value) === undefined) await revokeToken(office, id);
    else alive.add(userOf(id));
  }
  const ended = (name: string) => USER.test(name) && !alive.has(name);
  for (const name of users.filter(ended)) await administration.removeUser(name);
  for (const name of roles.filter(ended)) await administration.removeRole(name);
}
