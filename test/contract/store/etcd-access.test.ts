import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect, promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { EtcdOptions } from '../../../src/store/etcd/options.ts';
import type { Store } from '../../../src/store/store.ts';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { put, View } from './view.ts';

const OPENSSL = '/usr/bin/openssl';
const missing = etcdMissing();
const stores: Store[] = [];
const open = (options: EtcdOptions): Store => {
  const store = openEtcdStore(options);
  stores.push(store);
  return store;
};
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

/** What a call rejects with. */
async function failure(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(() => undefined).catch((thrown: unknown) => thrown);
  if (!(error instanceof Error)) throw new Error('the call did not fail');
  return error;
}

describe('etcd with users and passwords', () => {
  const credentials = { username: 'root', password: 'correct-horse' };
  let etcd: TestEtcd | undefined;
  const endpoints = () => [etcd?.endpoint ?? ''];

  beforeAll(async () => {
    if (missing === undefined) etcd = await startEtcd({ auth: credentials });
  });
  afterAll(async () => etcd?.stop());
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });

  test('lets the right password in, for everything', async () => {
    const store = open({ endpoints: endpoints(), credentials });
    const view = new View(store, '/w/');
    await view.until(({ events }) => events.length > 0);
    const { id } = await store.grantLease(60);
    await store.transaction([], [{ do: 'put', key: '/w/1', value: 'v', leaseId: id }]);
    await view.until(({ entries }) => entries.has('/w/1'));
    expect(await store.keepLease(id)).toBe(60);
    await store.revokeLease(id);
    await view.until(({ entries }) => entries.size === 0);
  });

  test('a wrong password, and none, are denied; no error or dump shows it', async () => {
    const wrong = { username: 'root', password: 'battery-staple' };
    const store = open({ endpoints: endpoints(), credentials: wrong });
    const error = await failure(store.list('/'));
    expect(error).toMatchObject({ code: 'store-denied', retryable: false });
    expect(error.message).toContain('root');
    expect(error.message).toContain(etcd?.endpoint);
    expect(inspect([error, store], { depth: 20, showHidden: true })).not.toContain(wrong.password);
    await expect(put(store, '/k', '')).rejects.toMatchObject({ code: 'store-denied' });

    const nobody = open({ endpoints: endpoints() });
    expect(await failure(nobody.list('/'))).toMatchObject({ code: 'store-denied' });
  });

  test('a watch with a wrong password says so instead of staying silent', async () => {
    const store = open({ endpoints: endpoints(), credentials: { username: 'root', password: 'no' } });
    const view = new View(store, '/w/');
    await view.until(({ events }) => events.length > 0);
    await sleep(600);
    expect(view.events).toEqual([
      { kind: 'interrupted', error: expect.objectContaining({ code: 'store-denied' }) },
    ]);
  });

  test('a user without the permission is denied', async () => {
    await etcd?.etcdctl('user', 'add', 'reader:secret');
    await etcd?.etcdctl('role', 'add', 'reads');
    await etcd?.etcdctl('role', 'grant-permission', 'reads', 'read', '/r/', '/r0');
    await etcd?.etcdctl('user', 'grant-role', 'reader', 'reads');
    const store = open({
      endpoints: endpoints(),
      credentials: { username: 'reader', password: 'secret' },
    });
    expect((await store.list('/r/')).entries).toEqual([]);
    expect(await failure(store.list('/'))).toMatchObject({ code: 'store-denied', retryable: false });
    expect(await failure(put(store, '/r/1', ''))).toMatchObject({ code: 'store-denied' });
  });

  test('tokens forgotten by a restart are fetched anew, for calls and for the watch', async () => {
    const store = open({ endpoints: endpoints(), credentials });
    const idle = open({ endpoints: endpoints(), credentials });
    await idle.list('/');
    const view = new View(store, '/w/');
    await view.until(({ events }) => events.length > 0);

    await etcd?.kill();
    // Long enough for a channel of gRPC's own making to be late afterwards.
    await sleep(1500);
    await etcd?.restart();
    const answered = performance.now();

    // Not at the first try, necessarily: gRPC itself pauses up to half a second between attempts to connect.
    while ((await put(idle, '/w/after', 'restart').catch(() => 0n)) === 0n) await sleep(50);
    expect(performance.now() - answered).toBeLessThan(1000);
    await view.until(({ entries }) => entries.has('/w/after'));
    expect(view.kinds.slice(0, 3)).toEqual(['snapshot', 'interrupted', 'snapshot']);
    expect(view.of('interrupted')).toMatchObject([{ error: { code: 'store-unavailable' } }]);
  });

  test('restored from a backup, where tokens of later are of no use: goes on at once', async (context) => {
    if (etcd === undefined) return context.skip('etcd has not started');
    const data = join(etcd.dataFolder, 'data');
    const backup = join(etcd.dataFolder, 'backup');
    const [, member = ''] = /, (http:\/\/[^,]*),/.exec(await etcd.etcdctl('member', 'list')) ?? [];
    await etcd.etcdctl('snapshot', 'save', backup);
    // A token bears the index at which it was given; a restored etcd counts anew, and waits until it gets there.
    for (let i = 0; i < 50; i++) await etcd.etcdctl('put', '/w/counted', `${i}`);
    const store = open({ endpoints: endpoints(), credentials });
    const view = new View(store, '/w/');
    await view.until(({ entries }) => entries.get('/w/counted')?.value === '49');

    await etcd.kill();
    await rm(data, { recursive: true });
    const flags = [`--data-dir=${data}`, '--name=test', `--initial-cluster=test=${member}`];
    const again = ['--initial-cluster-token=again', `--initial-advertise-peer-urls=${member}`];
    await promisify(execFile)('/usr/bin/etcdctl', ['snapshot', 'restore', backup, ...flags, ...again], {
      env: { ETCDCTL_API: '3' },
    });
    await etcd.restart();
    const answered = performance.now();
    await view.until((seen) => seen.of('snapshot').length === 2);
    expect(performance.now() - answered).toBeLessThan(3000);
    await put(store, '/w/after', '');
    await view.until(({ entries }) => entries.has('/w/after'));
    await view.stop();
  });

  test('credentials do no harm while authentication is not enabled, and serve once it is', async (context) => {
    if (etcd === undefined) return context.skip('etcd has not started');
    await etcd.etcdctl('auth', 'disable');
    const store = open({ endpoints: endpoints(), credentials });
    await put(store, '/k', 'before');
    await etcd.etcdctl('auth', 'enable');
    await put(store, '/k', 'after');
    expect((await store.get('/k'))?.value).toBe('after');
  });
});

describe('etcd over TLS with client certificates', () => {
  const needs = missing ?? (existsSync(OPENSSL) ? undefined : `needs ${OPENSSL}`);
  let etcd: TestEtcd | undefined;
  let folder: string | undefined;
  const pem = async (name: string) => readFile(join(folder ?? '', name));

  beforeAll(async () => {
    if (needs !== undefined) return;
    folder = await mkdtemp(join(tmpdir(), 'corduroy-tls-'));
    const openssl = (...args: string[]) => promisify(execFile)(OPENSSL, args, { cwd: folder });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    await openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-subj',
      '/CN=ca',
      '-days',
      '1',
    );
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const usage = ['-addext', 'extendedKeyUsage=serverAuth,clientAuth'];
    const made = ['-keyout', 'both.key', '-out', 'both.pem', '-subj', '/CN=both', '-days', '1'];
    await openssl('req', '-x509', ...key, ...made, ...signed, ...usage);
    const path = (name: string) => join(folder ?? '', name);
    etcd = await startEtcd({ tls: { ca: path('ca.pem'), cert: path('both.pem'), key: path('both.key') } });
  });
  afterAll(async () => {
    await etcd?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });
  beforeEach((context) => {
    if (needs !== undefined) context.skip(needs);
  });

  test('works with the right files', async () => {
    const tls = { ca: await pem('ca.pem'), cert: await pem('both.pem'), key: await pem('both.key') };
    const store = open({ endpoints: [etcd?.endpoint ?? ''], tls });
    const view = new View(store, '/');
    await view.until(({ events }) => events.length > 0);
    await put(store, '/k', 'v');
    await view.until(({ entries }) => entries.has('/k'));
  });

  test('a missing client certificate is named as a possible cause', async () => {
    const store = open({ endpoints: [etcd?.endpoint ?? ''], tls: { ca: await pem('ca.pem') } });
    const error = await failure(store.list('/'));
    expect(error).toMatchObject({ code: 'store-unavailable' });
    expect(error.message).toContain('client certificate');
  });
});
