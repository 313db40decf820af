import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { openEtcdStore } from '../store/etcd/etcd-store.ts';
import { type Bundle, bundleKey, parseBundle } from './bundle.ts';
import type { Enrolment } from './host-files.ts';
import { pinnedAuthority } from './pinned-authority.ts';
import type { JoinToken } from './token.ts';
import { userOf } from './tokens.ts';

/**
 * Asks the etcd that the token names what a host needs. The token's secret is said only to a server that has a
 * certificate of the CA that the token pins, and not after the token's end.
 *
 * @throws CorduroyError `untrusted`, `store-unavailable`; `store-denied`: the token has ended or was revoked
 */
export async function fetchEnrolment(token: JoinToken): Promise<Enrolment> {
  if (hasEnded(token)) throw worthless(token);
  const { ca, addresses } = await reachable(token);
  const { prefix, endpoints, username, password } = await fetchBundle(token, ca, addresses);
  return { ca, prefix, endpoints, username, password };
}

/** Those of etcd's addresses that answer, and the CA that they proved to be of. */
async function reachable({ addresses, caFingerprint }: JoinToken): Promise<{
  ca: string;
  addresses: readonly string[];
}> {
  const answers: { ca: string; address: string }[] = [];
  const silent: CorduroyError[] = [];
  for (const address of addresses) {
    try {
      answers.push({ ca: await pinnedAuthority(address, caFingerprint), address });
    } catch (error) {
      // One that is not to be trusted ends it: somebody has to look.
      if (!isCode(error, 'store-unavailable')) throw error;
      silent.push(error);
    }
  }
  const [first] = answers;
  if (first !== undefined) return { ca: first.ca, addresses: answers.map(({ address }) => address) };
  throw new CorduroyError('store-unavailable', silent.map(messageOf).join('\n'), { retryable: true });
}

/** gRPC verifies the server again, against that CA alone, on the connection that the secret goes by. */
async function fetchBundle(token: JoinToken, ca: string, addresses: readonly string[]): Promise<Bundle> {
  const store = openEtcdStore({
    endpoints: addresses.map((address) => `https://${address}`),
    tls: { ca: Buffer.from(ca) },
    credentials: { username: userOf(token.id), password: token.secret },
  });
  try {
    const entry = await store.get(bundleKey(token.id));
    if (entry === undefined) throw worthless(token);
    return parseBundle(entry.value);
  } catch (error) {
    throw isCode(error, 'store-denied') ? worthless(token, error) : error;
  } finally {
    await store.close();
  }
}

function hasEnded({ endsAt }: JoinToken): boolean {
  return endsAt.getTime() <= Date.now();
}

/** etcd does not say why it refuses, and forgets what has ended. */
function worthless(token: JoinToken, cause?: unknown): CorduroyError {
  const { id, endsAt } = token;
  const what = hasEnded(token)
    ? `expired at ${endsAt.toISOString()}, and this host's clock says ${new Date().toISOString()}`
    : 'was revoked';
  return new CorduroyError(
    'store-denied',
    `the join token ${id} ${what}: make another on the first host, with: corduroy token create`,
    { cause },
  );
}
