import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BUNDLES } from '../../../src/enroll/bundle.ts';
import { changeHostPassword } from '../../../src/enroll/issue.ts';
import { fetchEnrolment } from '../../../src/enroll/join.ts';
import { formatToken, type JoinToken, parseToken } from '../../../src/enroll/token.ts';
import {
  createToken,
  listTokens,
  revokeAllTokens,
  revokeToken,
  sweepTokens,
  userOf,
} from '../../../src/enroll/tokens.ts';
import { HOST_USER } from '../../../src/enroll/users.ts';
import { openEtcdAdministration } from '../../../src/store/etcd/administration.ts';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { EtcdOptions } from '../../../src/store/etcd/options.ts';
import type { Store } from '../../../src/store/store.ts';
import { etcdMissing } from '../../support/etcd.ts';
import { opensslMissing } from '../store/certificates.ts';
import { FoundedCluster, PREFIX } from './founded-cluster.ts';

describe('a join token', () => {
  const missing = etcdMissing() ?? opensslMissing();
  let cluster: FoundedCluster;
  const stores: Store[] = [];

  beforeAll(async () => {
    if (missing === undefined) cluster = await FoundedCluster.founded();
  });
  afterAll(() => cluster?.remove());
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });

  const optionsAs = (username: string, password: string): EtcdOptions => ({
    endpoints: [cluster.endpoint],
    tls: { ca: readFileSync(cluster.layout.ca) },
    credentials: { username, password },
  });
  const storeAs = (username: string, password: string): Store => {
    const store = openEtcdStore(optionsAs(username, password));
    stores.push(store);
    return store;
  };
  const newToken = async (ttl?: number): Promise<JoinToken> => parseToken((await cluster.token(ttl)).token);
  const joined = (token: JoinToken) =>
    fetchEnrolment(token).then(
      () => true,
      () => false,
    );
  const put = (store: Store, key: string) => store.transaction([], [{ do: 'put', key, value: 'x' }]);
  /** A token that ends in a moment. */
  const shortToken = async (): Promise<JoinToken> => {
    const { token } = await cluster.asRoot((administrator) =>
      createToken(administrator, {
        ttl: 2,
        bundle: { prefix: PREFIX, endpoints: [cluster.endpoint], username: HOST_USER, password: 'p' },
        caFingerprint: administrator.caFingerprint,
        addresses: [cluster.address],
      }),
    );
    return parseToken(token);
  };
  /** For a joiner whose clock is behind, or who does not care: only etcd can refuse it. */
  const stretched = (token: JoinToken): JoinToken => ({ ...token, endsAt: new Date(Date.now() + 3_600_000) });

  test('gives a host all that it needs, any number of hosts', async () => {
    const token = await newToken();
    for (let host = 0; host < 2; host++) {
      const { ca, endpoints, prefix, username, password } = await fetchEnrolment(token);
      expect(new X509Certificate(ca).fingerprint256).toBe(token.caFingerprint);
      expect({ endpoints, prefix, username }).toEqual({
        endpoints: [cluster.endpoint],
        prefix: PREFIX,
        username: HOST_USER,
      });
      await put(storeAs(username, password), `${PREFIX}/subnets/10.244.${host}.0-24`);
    }
  });

  test('lets its bearer read one key, and nothing else', async () => {
    const [token, other] = [await newToken(), await newToken()];
    const bearer = storeAs(userOf(token.id), token.secret);
    const own = BUNDLES + token.id;
    expect(await bearer.get(own)).toBeDefined();
    const denied = { code: 'store-denied' };
    await expect(bearer.get(BUNDLES + other.id)).rejects.toMatchObject(denied);
    await expect(bearer.list(BUNDLES)).rejects.toMatchObject(denied);
    await expect(bearer.list(`${PREFIX}/`)).rejects.toMatchObject(denied);
    await expect(put(bearer, own)).rejects.toMatchObject(denied);
    await expect(put(bearer, `${PREFIX}/subnets/10.244.9.0-24`)).rejects.toMatchObject(denied);
    const administration = openEtcdAdministration(optionsAs(userOf(token.id), token.secret));
    await expect(administration.users()).rejects.toMatchObject(denied);
    await expect(administration.setPassword(HOST_USER, 'mine')).rejects.toMatchObject(denied);
    administration.close();
  });

  test('what it gives is out of sight of the hosts that are there already', async () => {
    const token = await newToken();
    const { username, password } = await fetchEnrolment(token);
    const host = storeAs(username, password);
    expect(JSON.stringify((await host.list(`${PREFIX}/`)).entries.map(({ value }) => value))).not.toContain(
      password,
    );
    await expect(host.get(BUNDLES + token.id)).rejects.toMatchObject({ code: 'store-denied' });
    await expect(put(host, BUNDLES + token.id)).rejects.toMatchObject({ code: 'store-denied' });
  });

  test('is worth nothing the moment it expires, whether or not anybody cleans up', async () => {
    const token = await shortToken();
    expect(await joined(token)).toBe(true);
    const anyway = stretched(token);
    for (
      const deadline = performance.now() + 15_000;
      (await joined(anyway)) && performance.now() < deadline;
    )
      await sleep(200);
    await expect(fetchEnrolment(anyway)).rejects.toMatchObject({ code: 'store-denied' });
    await expect(fetchEnrolment(token)).rejects.toMatchObject({
      code: 'store-denied',
      message: expect.stringMatching(
        new RegExp(`${token.id} expired at 20.*clock says 20.*corduroy token create`),
      ),
    });
    const users = () => cluster.asRoot(({ administration }) => administration.users());
    const roles = () => cluster.asRoot(({ administration }) => administration.roles());
    expect([await users(), await roles()]).toEqual([
      expect.arrayContaining([userOf(token.id)]),
      expect.arrayContaining([userOf(token.id)]),
    ]);
    const alive = await newToken(); // Sweeps.
    expect(await users()).not.toContain(userOf(token.id));
    expect(await roles()).not.toContain(userOf(token.id));
    expect(await joined(alive)).toBe(true);
  });

  test('ends although somebody without a name keeps its lease alive', async () => {
    const token = await shortToken();
    const lease = (await cluster.asRoot(({ store }) => store.get(BUNDLES + token.id)))?.leaseId;
    if (lease === undefined) throw new Error('the token hangs on no lease');
    const nobody = openEtcdStore({
      endpoints: [cluster.endpoint],
      tls: { ca: readFileSync(cluster.layout.ca) },
    });
    stores.push(nobody);
    for (const end = token.endsAt.getTime() + 2500; Date.now() < end; await sleep(200))
      await nobody.keepLease(lease);
    expect(await joined(stretched(token)), 'etcd itself has been talked into letting it live').toBe(true);
    expect(await joined(token)).toBe(false);
    expect((await cluster.asRoot(listTokens)).map(({ id }) => id)).not.toContain(token.id);
    await cluster.asRoot(sweepTokens);
    expect(await joined(stretched(token))).toBe(false);
  });

  test('is listed with the end it was made with, whatever its lease says', async () => {
    const token = await newToken(600);
    const lease = (await cluster.asRoot(({ store }) => store.get(BUNDLES + token.id)))?.leaseId;
    await sleep(2000);
    if (lease !== undefined) await cluster.asRoot(({ store }) => store.keepLease(lease));
    const line = (await cluster.asRoot(listTokens)).find(({ id }) => id === token.id);
    expect(line?.expiresIn).toBeLessThanOrEqual(598);
  });

  test('that names an address which etcd has left is revoked', async () => {
    const token = await newToken();
    await cluster.asRoot((office) => sweepTokens({ ...office, endpoints: ['https://127.0.0.9:2379'] }));
    expect(await joined(token)).toBe(false);
    expect(await cluster.asRoot(listTokens)).toEqual([]);
  });

  test('can be revoked, and the others go on', async () => {
    const [token, other] = [await newToken(), await newToken()];
    expect(await cluster.asRoot((office) => revokeToken(office, token.id))).toBe(true);
    await expect(fetchEnrolment(token)).rejects.toMatchObject({
      code: 'store-denied',
      message: expect.stringMatching(/was revoked: .*corduroy token create/),
    });
    expect(await joined(other)).toBe(true);
    expect(await cluster.asRoot((office) => revokeToken(office, token.id))).toBe(false);
    const users = await cluster.asRoot(({ administration }) => administration.users());
    expect(users).not.toContain(userOf(token.id));
  });

  test('all can be revoked at once', async () => {
    const tokens = [await newToken(), await newToken()];
    const revoked = await cluster.asRoot(revokeAllTokens);
    expect(revoked).toEqual(expect.arrayContaining(tokens.map(({ id }) => id)));
    expect(await Promise.all(tokens.map(joined))).toEqual([false, false]);
    expect(await cluster.asRoot(listTokens)).toEqual([]);
    expect([...(await cluster.asRoot(({ administration }) => administration.users()))].sort()).toEqual([
      'corduroyd',
      'root',
    ]);
    expect([...(await cluster.asRoot(({ administration }) => administration.roles()))].sort()).toEqual([
      'corduroy-host',
      'root',
    ]);
  });

  test('is listed with its end, but not itself', async () => {
    await cluster.asRoot(revokeAllTokens);
    const [long, short] = [await newToken(7200), await newToken(600)];
    const list = await cluster.asRoot(listTokens);
    expect(list.map(({ id }) => id)).toEqual([short.id, long.id]);
    expect(list[1]?.expiresIn).toBeGreaterThan(7100);
    expect(JSON.stringify(list)).not.toContain(long.secret);
  });

  test('that is being made is not swept away', async () => {
    const made = cluster.asRoot(async (office) => {
      const sweeping = (async () => {
        for (let i = 0; i < 10; i++) await sweepTokens(office);
      })();
      const tokens = await Promise.all([cluster.token(), cluster.token(), cluster.token()]);
      await sweeping;
      return tokens;
    });
    for (const { token } of await made) expect(await joined(parseToken(token))).toBe(true);
  });

  test("a wrong secret is not told from a token that has ended, nor is anybody else's", async () => {
    const token = await newToken();
    const guessed = { ...token, secret: Buffer.alloc(16).toString('base64url') };
    await expect(fetchEnrolment(parseToken(formatToken(guessed)))).rejects.toMatchObject({
      code: 'store-denied',
    });
  });

  test("changes the hosts' password: those that have the old one are refused, and join again", async () => {
    const former = await fetchEnrolment(await newToken());
    const host = storeAs(former.username, former.password);
    await host.list(`${PREFIX}/`);
    const told: string[] = [];
    const [following, silence] = [new AbortController(), new AbortController()];
    const end = (async () => {
      for await (const event of host.watch(`${PREFIX}/`, following.signal)) {
        told.push(JSON.stringify(event, (_, value) => (typeof value === 'bigint' ? `${value}` : value)));
        if (event.kind === 'interrupted') silence.abort();
      }
    })();
    const tell = (key: string) => cluster.asRoot(({ store }) => put(store, `${PREFIX}/subnets/${key}`));
    const isTold = (key: string) => told.some((event) => event.includes(key));
    await tell('10.244.101.0-24');
    for (const deadline = performance.now() + 10_000; !isTold('10.244.101.0-24'); await sleep(50))
      if (performance.now() > deadline) throw new Error('the watch says nothing');
    await cluster.asRoot((administrator) => changeHostPassword(administrator, cluster.layout, cluster));
    await tell('10.244.102.0-24');
    await sleep(2000);
    following.abort();
    await end;
    expect([silence.signal.aborted, isTold('10.244.102.0-24')]).toEqual([true, false]);
    await expect(host.list(`${PREFIX}/`)).rejects.toMatchObject({ code: 'store-denied' });
    const { username, password } = await fetchEnrolment(await newToken());
    expect(password).not.toBe(former.password);
    await put(storeAs(username, password), `${PREFIX}/subnets/10.244.7.0-24`);
  });
});
