import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { EtcdOptions } from '../../../src/store/etcd/options.ts';
import type { Store } from '../../../src/store/store.ts';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { Authority, type CertificateFiles, opensslMissing } from './certificates.ts';
import { put, View, valuesOf } from './view.ts';

/** What docs/etcd.md tells to set up: TLS with client certificates, users, and no more rights than a host needs. */
describe("a host's role in etcd", () => {
  const missing = etcdMissing() ?? opensslMissing();
  const prefix = '/coreos.com/network';
  const config = `${prefix}/config`;
  const lease = `${prefix}/subnets/10.5.1.0-24`;
  const node = `${prefix}/corduroy/nodes/6f0e`;
  let authority: Authority | undefined;
  let etcd: TestEtcd;
  let dead: string;
  let files: CertificateFiles;
  const cleanUp: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    if (missing !== undefined) return;
    authority = await Authority.create();
    const tls = await authority.issue('etcd');
    files = await authority.issue('host1');
    etcd = await startEtcd({ tls, auth: { username: 'root', password: 'root-pw' } });
    const gone = await startEtcd({ tls });
    dead = gone.endpoint;
    await gone.stop();
    await etcd.etcdctl('role', 'add', 'corduroy-host');
    for (const [permission, keys] of [
      ['read', `${prefix}/`],
      ['readwrite', `${prefix}/subnets/`],
      ['readwrite', `${prefix}/corduroy/`],
    ] as const)
      await etcd.etcdctl('role', 'grant-permission', 'corduroy-host', permission, '--prefix', keys);
    await etcd.etcdctl('user', 'add', 'corduroyd:host-pw');
    await etcd.etcdctl('user', 'grant-role', 'corduroyd', 'corduroy-host');
    await etcd.etcdctl('put', config, '{}');
    await etcd.etcdctl('put', '/other', 'secret');
  });
  afterAll(async () => {
    await etcd?.stop();
    await authority?.remove();
  });
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
  afterEach(async () => {
    for (const step of cleanUp.splice(0).toReversed()) await step();
  });

  const open = (options: Partial<EtcdOptions> = {}): Store => {
    const tls = { ca: readFileSync(files.ca), cert: readFileSync(files.cert), key: readFileSync(files.key) };
    const credentials = { username: 'corduroyd', password: 'host-pw' };
    const store = openEtcdStore({ endpoints: [dead, etcd.endpoint], tls, credentials, ...options });
    cleanUp.push(() => store.close());
    return store;
  };
  const watch = (store: Store) => {
    const view = new View(store, `${prefix}/`);
    cleanUp.push(() => view.stop());
    return view;
  };

  test('suffices for a lease and its record, from the first look to giving it back', async () => {
    const store = open();
    const view = watch(store);
    await view.until(({ entries }) => entries.has(config));
    const { modRevision } = (await store.get(config)) ?? { modRevision: 0n };
    const { id } = await store.grantLease(60);
    // Reads find out which endpoint is dead; writes are not repeated.
    for (let i = 0; i < 20; i++) await store.list(`${prefix}/`);

    const acquired = await store.transaction(
      [
        { key: config, is: 'unchanged', modRevision },
        { key: lease, is: 'absent' },
      ],
      [
        { do: 'put', key: lease, value: 'l', leaseId: id },
        { do: 'put', key: node, value: 'n', leaseId: id },
      ],
    );
    expect(acquired.succeeded).toBe(true);
    await view.until(({ entries }) => entries.has(lease) && entries.has(node));
    expect(valuesOf((await store.list(`${prefix}/`)).entries)).toEqual({
      [config]: '{}',
      [lease]: 'l',
      [node]: 'n',
    });
    expect(await store.keepLease(id)).toBe(60);
    expect(await store.leaseInfo(id)).toMatchObject({ grantedTtl: 60 });

    // The config is another one by now: nothing is written.
    await etcd.etcdctl('put', config, '{"Network":"10.5.0.0/16"}');
    const late = await store.transaction(
      [{ key: config, is: 'unchanged', modRevision }],
      [{ do: 'put', key: lease, value: 'late', leaseId: id }],
    );
    expect(late.succeeded).toBe(false);

    await store.transaction([], [{ do: 'delete', key: node }]);
    await store.revokeLease(id);
    await view.until(({ entries }) => !entries.has(lease) && !entries.has(node));
    // The endpoint that is dead may have been tried first; since then nothing was lost.
    expect(view.of('snapshot').length).toBe(1);
  });

  test('goes on after a restart of etcd, which forgets the tokens', async () => {
    const store = open();
    const view = watch(store);
    await view.until(({ events }) => events.length > 0);
    await etcd.kill();
    await etcd.restart();
    await expect
      .poll(() => put(store, lease, 'after').catch(() => 0n), { timeout: 5000 })
      .toBeGreaterThan(0n);
    await view.until(({ entries }) => entries.get(lease)?.value === 'after');
    await store.transaction([], [{ do: 'delete', key: lease }]);
  });

  test('does not let a host write the network config; the error names the command that would', async () => {
    const { modRevision } = (await open().get(config)) ?? { modRevision: 0n };
    const write = open({ endpoints: [etcd.endpoint] }).transaction(
      [{ key: config, is: 'unchanged', modRevision }],
      [{ do: 'put', key: config, value: 'x' }],
    );
    await expect(write).rejects.toMatchObject({
      code: 'store-denied',
      message: expect.stringMatching(
        /as user "corduroyd" .*etcdctl user get corduroyd.*etcdctl role grant-permission ROLE readwrite \/coreos\.com\/network\/config$/,
      ),
    });
  });

  test('does not let a host look beyond the prefix, nor write there; the errors name the commands', async () => {
    const store = open({ endpoints: [etcd.endpoint] });
    const denied = (command: string) => ({
      code: 'store-denied',
      message: expect.stringContaining(`etcdctl role grant-permission ROLE ${command}`),
    });
    await expect(store.get('/other')).rejects.toMatchObject(denied('read /other'));
    await expect(store.list('/')).rejects.toMatchObject(denied('read --prefix /'));
    await expect(put(store, '/other', '')).rejects.toMatchObject(denied('readwrite /other'));
    const compared = store.transaction(
      [{ key: '/other', is: 'absent' }],
      [{ do: 'put', key: lease, value: '' }],
    );
    await expect(compared).rejects.toMatchObject(denied('read /other'));
    const view = new View(store, '/');
    cleanUp.push(() => view.stop());
    await view.until(({ events }) => events.length > 0);
    expect(view.of('interrupted')[0]?.error).toMatchObject(denied('read --prefix /'));
    expect((await etcd.etcdctl('get', '/other', '--print-value-only')).trim()).toBe('secret');
  });

  test('does not let a host end the lease of keys that it may not write', async () => {
    const { id } = await open().grantLease(60);
    await etcd.etcdctl('put', '/guarded', 'v', `--lease=${BigInt(id).toString(16)}`);
    await expect(open().revokeLease(id)).rejects.toMatchObject({ code: 'store-denied' });
    expect((await etcd.etcdctl('get', '/guarded', '--print-value-only')).trim()).toBe('v');
  });

  test('what the errors name works: a right that is granted is there for the next call', async () => {
    const store = open();
    await expect(store.get('/granted')).rejects.toMatchObject({ code: 'store-denied' });
    await etcd.etcdctl('role', 'grant-permission', 'corduroy-host', 'read', '/granted');
    expect(await store.get('/granted')).toBeUndefined();
    await etcd.etcdctl('role', 'revoke-permission', 'corduroy-host', '/granted');
    await expect(store.get('/granted')).rejects.toMatchObject({ code: 'store-denied' });
  });

  test('a wrong password: the error says how to set it anew', async () => {
    const store = open({ credentials: { username: 'corduroyd', password: 'wrong' } });
    await expect(store.get(config)).rejects.toMatchObject({
      code: 'store-denied',
      message: expect.stringContaining('etcdctl user passwd corduroyd'),
    });
  });

  test('a certificate whose common name is the user serves instead of a password', async () => {
    const own = await authority?.issue('corduroyd');
    if (own === undefined) throw new Error('no certificate');
    const tls = { ca: readFileSync(own.ca), cert: readFileSync(own.cert), key: readFileSync(own.key) };
    const store = open({ endpoints: [etcd.endpoint], tls, credentials: undefined });
    const view = watch(store);
    await put(store, lease, 'by certificate');
    await view.until(({ entries }) => entries.has(lease));
    await expect(put(store, config, '')).rejects.toMatchObject({ code: 'store-denied' });
    await store.transaction([], [{ do: 'delete', key: lease }]);
  });
});
