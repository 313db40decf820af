import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { etcdAccess } from '../../../src/config/etcd.ts';
import { resolveOptions } from '../../../src/config/options.ts';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { Authority, type CertificateFiles, opensslMissing } from './certificates.ts';
import { put, View } from './view.ts';

/** Certificates and passwords that are replaced while a store is in use, as corduroyd opens it. */
describe('certificates and password that change', () => {
  const missing = etcdMissing() ?? opensslMissing();
  let authority: Authority;
  let etcd: TestEtcd;
  let folder: string;
  const cleanUp: (() => unknown)[] = [];
  const path = (name: string) => join(folder, name);
  const install = (from: CertificateFiles) => {
    for (const name of ['ca', 'cert', 'key'] as const) copyFileSync(from[name], path(name));
  };

  beforeAll(async () => {
    if (missing === undefined) authority = await Authority.create();
  });
  afterAll(async () => authority?.remove());
  beforeEach(async (context) => {
    if (missing !== undefined) return context.skip(missing);
    folder = mkdtempSync(join(tmpdir(), 'corduroy-rotation-'));
    cleanUp.push(() => rmSync(folder, { recursive: true }));
    const auth = { username: 'root', password: 'first' };
    etcd = await startEtcd({ tls: await authority.issue('etcd'), auth });
    cleanUp.push(() => etcd.stop());
    writeFileSync(path('password'), 'first\n', { mode: 0o600 });
  });
  afterEach(async () => {
    for (const step of cleanUp.splice(0).toReversed()) await step();
  });

  const setPassword = (password: string) => {
    const tls = [`--cacert=${path('ca')}`, `--cert=${path('cert')}`, `--key=${path('key')}`];
    const args = [`--endpoints=${etcd.endpoint}`, ...tls, '--user=root:first', '--interactive=false'];
    const { status, stderr } = spawnSync('/usr/bin/etcdctl', [...args, 'user', 'passwd', 'root'], {
      input: `${password}\n`,
      env: { ETCDCTL_API: '3' },
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  };
  /** Opened as the daemon does; what it logs is in `log`. */
  const open = () => {
    const { flags } = resolveOptions(
      {
        instance: ['cdytest'],
        'etcd-endpoints': [etcd.endpoint],
        'etcd-cafile': [path('ca')],
        'etcd-certfile': [path('cert')],
        'etcd-keyfile': [path('key')],
        'etcd-username': ['root'],
        'etcd-password-file': [path('password')],
      },
      {},
    );
    const log: string[] = [];
    const say = (message: string) => log.push(message);
    const store = openEtcdStore(etcdAccess(flags, { info: say, warn: say }));
    cleanUp.push(() => store.close());
    return { store, log };
  };
  const watch = (store: Store) => {
    const view = new View(store, '/w/');
    cleanUp.push(() => view.stop());
    return view;
  };

  test('a certificate that expires, and is renewed on disk, is shown with the next connection', async () => {
    const ends = Date.now() + 5000;
    install(await authority.issue('root', new Date(ends)));
    const { store } = open();
    const view = watch(store);
    await view.until(({ events }) => events.length > 0);
    await sleep(Math.max(0, ends - Date.now()) + 1100);

    // What stands, stands: no certificate is shown again.
    await put(store, '/w/expired', '');
    await view.until(({ entries }) => entries.has('/w/expired'));
    await etcd.restart();
    await view.until((seen) => seen.of('interrupted').length === 1);
    await expect(store.list('/w/')).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringMatching(/the client certificate expired at .*Z: renew it/),
    });

    install(await authority.issue('root'));
    await view.until((seen) => seen.of('snapshot').length === 2);
    await put(store, '/w/renewed', '');
    await view.until(({ entries }) => entries.has('/w/renewed'));
  });

  test('renewed with everything well: no call fails, the watch goes on, and the old connection ends with it', async () => {
    install(await authority.issue('root'));
    // etcd's gateway keeps one to etcd itself.
    const others = connectionsTo(etcd);
    const { store, log } = open();
    const view = watch(store);
    await view.until(({ events }) => events.length > 0);
    let going = true;
    let written = 0;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      while (going) await put(store, `/w/${writer}`, `${written++}`);
    });
    for (let i = 0; i < 5; i++) {
      const next = await authority.issue('root');
      for (const name of ['cert', 'key'] as const) {
        copyFileSync(next[name], path(`${name}.new`));
        renameSync(path(`${name}.new`), path(name));
        await sleep(20);
      }
      const before = written;
      await expect.poll(() => written).toBeGreaterThan(before + 20);
    }
    going = false;
    await Promise.all(writers);
    const end = await put(store, '/w/end', '');
    await view.until(({ entries }) => entries.has('/w/end'));
    expect(view.kinds.filter((kind) => kind !== 'delta')).toEqual(['snapshot']);
    expect(view.events.length).toBe(Number(end - BigInt(view.of('snapshot')[0]?.revision ?? 0)) + 1);
    expect(log.filter((line) => line.startsWith('changed'))).toHaveLength(5);

    // One connection for the watch, on the first certificate, and one for the calls.
    await expect.poll(() => connectionsTo(etcd)).toBe(others + 2);
    await view.stop();
    await expect.poll(() => connectionsTo(etcd)).toBe(others + 1);
  });

  test('a call that has just begun ends on the client it began with', async () => {
    install(await authority.issue('root'));
    const { store } = open();
    await etcd.pause();
    const begun = store.get('/k');
    install(await authority.issue('root'));
    const next = store.get('/k');
    await sleep(100);
    etcd.resume();
    expect(await Promise.all([begun, next])).toEqual([undefined, undefined]);
  });

  test('half a rotation is not used: said once with the file, the old pair goes on, the new one comes', async () => {
    install(await authority.issue('root'));
    const { store, log } = open();
    await put(store, '/k', 'before');
    const next = await authority.issue('root');

    writeFileSync(path('cert'), readFileSync(next.cert).subarray(0, 300));
    for (let i = 0; i < 3; i++) await put(store, '/k', 'cut short');
    expect(log).toEqual([
      expect.stringMatching(/^--etcd-certfile \/.*\/cert is no whole PEM file .*stays in use/),
    ]);

    copyFileSync(next.cert, path('cert'));
    for (let i = 0; i < 3; i++) await put(store, '/k', 'not a pair');
    expect(log.slice(1)).toEqual([
      expect.stringMatching(
        /^--etcd-keyfile \/.*\/key does not belong to --etcd-certfile \/.*\/cert; .*in use/,
      ),
    ]);

    rmSync(path('key'));
    await put(store, '/k', 'no key');
    expect(log.slice(2)).toEqual([expect.stringMatching(/^--etcd-keyfile \/.*\/key cannot be read: ENOENT/)]);
    // Nor does a new connection use it.
    await etcd.restart();
    await expect.poll(() => put(store, '/k', 'reconnected').catch(() => 0n)).toBeGreaterThan(0n);

    copyFileSync(next.key, path('key'));
    await put(store, '/k', 'renewed');
    expect(log.slice(3)).toEqual([expect.stringMatching(/^changed, .*--etcd-certfile .*--etcd-keyfile/)]);
  });

  test('a password that is changed in etcd and in the file', async () => {
    install(await authority.issue('host1'));
    const { store, log } = open();
    const view = watch(store);
    await view.until(({ events }) => events.length > 0);
    setPassword('second');
    await expect(store.get('/k')).rejects.toMatchObject({ code: 'store-denied' });

    writeFileSync(path('password'), 'second\n');
    await put(store, '/w/k', 'v');
    await view.until(({ entries }) => entries.has('/w/k'));
    expect(view.of('interrupted')).toEqual([]);
    expect(log).toEqual([expect.stringMatching(/^changed, .*--etcd-password-file \/.*\/password$/)]);
    expect(log.join()).not.toMatch(/first|second/);
  });
});

/** How many connections lead to it from this host. */
function connectionsTo({ endpoint }: TestEtcd): number {
  const port = Number(new URL(endpoint).port).toString(16).toUpperCase().padStart(4, '0');
  // proc(5), /proc/net/tcp: local address, remote address, state; 01 is ESTABLISHED.
  const line = new RegExp(`^ *\\d+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:${port} 01 `, 'gm');
  return readFileSync('/proc/net/tcp', 'utf8').match(line)?.length ?? 0;
}
