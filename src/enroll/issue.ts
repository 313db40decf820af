import { CorduroyError } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import type { Administrator } from './administrator.ts';
import type { EtcdService } from './found.ts';
import type { FounderLayout } from './layout.ts';
import { newSecret } from './token.ts';
import { createToken, type NewToken, sweepTokens } from './tokens.ts';
import { HOST_USER } from './users.ts';

/** A token for one cluster, by what its founder's files say. @param ttl seconds */
export async function issueToken(
  administrator: Administrator,
  { passwordFile }: FounderLayout,
  ttl: number,
): Promise<NewToken> {
  const { endpoints, prefix, caFingerprint } = administrator;
  const password = readIfThere(passwordFile)?.trim();
  if (password === undefined || password === '')
    throw new CorduroyError('usage', `${passwordFile} is missing: run corduroy init again, which mends it`);
  await sweepTokens(administrator);
  return await createToken(administrator, {
    ttl,
    bundle: { prefix, endpoints: [...endpoints], username: HOST_USER, password },
    caFingerprint,
    addresses: endpoints.map((endpoint) => new URL(endpoint).host),
  });
}

/**
 * From here on etcd refuses every host, until it joins again; this one's password is replaced. A watch is asked for its
 * password when it is made, and never again: those that there are end with etcd's connections.
 */
export async function changeHostPassword(
  { administration }: Administrator,
  { passwordFile }: FounderLayout,
  etcd: Pick<EtcdService, 'restart'>,
): Promise<void> {
  const password = newSecret();
  await administration.setPassword(HOST_USER, password);
  writeAtomically(passwordFile, `${password}\n`, 0o600);
  await etcd.restart();
}
