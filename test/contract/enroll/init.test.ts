import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { resolveOptions } from '../../../src/config/options.ts';
import { ensureNetwork } from '../../../src/enroll/network.ts';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { etcdMissing } from '../../support/etcd.ts';
import { opensslMissing } from '../store/certificates.ts';
import { FoundedCluster, PREFIX } from './founded-cluster.ts';

describe('corduroy init, as far as it is etcd', () => {
  const missing = etcdMissing() ?? opensslMissing();
  let cluster: FoundedCluster;
  const stores: Store[] = [];

  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });

  const etcdctl = (...args: string[]) => {
    const common = [
      `--endpoints=${cluster.endpoint}`,
      `--cacert=${cluster.layout.ca}`,
      '--command-timeout=3s',
    ];
    const env = { PATH: process.env.PATH ?? '', ETCDCTL_API: '3' };
    const { status, stdout, stderr } = spawnSync('etcdctl', [...common, ...args], { env, encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };
  const asHost = (): Store => {
    const password = readFileSync(cluster.layout.passwordFile, 'utf8').trim();
    const store = openEtcdStore({
      endpoints: [cluster.endpoint],
      tls: { ca: readFileSync(cluster.layout.ca) },
      credentials: { username: 'corduroyd', password },
    });
    stores.push(store);
    return store;
  };
  const put = (store: Store, key: string) => store.transaction([], [{ do: 'put', key, value: 'x' }]);

  describe('on a host without any of it', () => {
    beforeEach(async () => {
      cluster = await FoundedCluster.prepare();
    });
    afterEach(() => cluster?.remove());

    test('lets in nobody else before there are users, and then whoever has a password', async () => {
      const attempts: (number | null)[] = [];
      cluster.onStart = async () => {
        attempts.push(etcdctl('put', '/stranger', 'was here').status);
      };
      await cluster.found();
      expect(attempts.length, 'etcd was started closed, and again').toBe(2);
      expect(attempts.every((status) => status !== 0)).toBe(true);
      expect(etcdctl('get', '/stranger')).toMatchObject({
        status: 1,
        output: expect.stringMatching(/user name is empty/),
      });
      expect(await cluster.asRoot(({ store }) => store.get('/stranger'))).toBeUndefined();
      expect(etcdctl('--user=root:wrong', 'get', '/').output).toMatch(/authentication failed/);
    });

    test.each([
      ['before its users were set up', 1],
      ['after they were, before anybody was let in', 2],
    ])('interrupted %s, it is finished by running it again', async (_when, start) => {
      let starts = 0;
      cluster.onStart = async () => {
        if (++starts === start) throw new Error('interrupted');
      };
      await expect(cluster.found()).rejects.toThrow('interrupted');
      await cluster.stopEtcd();
      await cluster.found();
      await put(asHost(), `${PREFIX}/subnets/10.244.1.0-24`);
      expect(etcdctl('get', '/').output).toMatch(/user name is empty/);
    });

    test('interrupted before the restart that lets others in, it restarts etcd when it is run again', async () => {
      const interrupted = {
        ensureRuns: (configChanged: boolean) => cluster.ensureRuns(configChanged),
        restart: () => Promise.reject(new Error('interrupted')),
      };
      await expect(cluster.found({}, interrupted)).rejects.toThrow('interrupted');
      await expect(asHost().get(PREFIX)).rejects.toMatchObject({ code: 'store-unavailable' });
      await cluster.found();
      await put(asHost(), `${PREFIX}/subnets/10.244.1.0-24`);
    });

    test('data of an etcd whose administrator nobody knows: says so, and how to begin anew', async () => {
      await cluster.found();
      await cluster.stopEtcd();
      const { adminFile, etcdConfig, etcdData } = cluster.layout;
      rmSync(adminFile);
      rmSync(etcdConfig);
      await expect(cluster.found()).rejects.toMatchObject({
        code: 'foreign-object',
        message: expect.stringMatching(/earlier etcd.*admin\.json.*move .*etcd away/),
      });
      await cluster.stopEtcd();
      renameSync(etcdData, join(etcdData, '../before'));
      await cluster.found();
    });
  });

  describe('where it was run before', () => {
    beforeAll(async () => {
      if (missing === undefined) cluster = await FoundedCluster.founded();
    });
    afterAll(() => cluster?.remove());
    beforeEach(() => {
      cluster.onStart = async () => undefined;
    });

    test('hosts may do what docs/etcd.md gives them, and no more', async () => {
      const host = asHost();
      await put(host, `${PREFIX}/subnets/10.244.1.0-24`);
      await put(host, `${PREFIX}/corduroy/nodes/x`);
      expect((await host.list(`${PREFIX}/`)).entries.length).toBe(2);
      await expect(put(host, `${PREFIX}/config`)).rejects.toMatchObject({ code: 'store-denied' });
      await expect(host.list('/')).rejects.toMatchObject({ code: 'store-denied' });
      expect(await cluster.asRoot(({ administration }) => administration.users())).toEqual([
        'corduroyd',
        'root',
      ]);
    });

    test('keys and passwords are for root alone, and stand in no other file', async () => {
      const { caKey, serverKey, adminFile, passwordFile, pkiFolder, etcdConfig } = cluster.layout;
      for (const path of [caKey, serverKey, adminFile, passwordFile])
        expect([path, statSync(path).mode & 0o777]).toEqual([path, 0o600]);
      expect(readdirSync(pkiFolder).sort()).toEqual(['ca.key', 'ca.pem', 'etcd.key', 'etcd.pem']);
      const password = resolveOptions({ 'config-file': [adminFile] }, {}).flags['etcd-password'] ?? '';
      expect(password.length).toBeGreaterThan(20);
      expect(readFileSync(etcdConfig, 'utf8')).not.toContain(password);
    });

    test('etcd shows its CA, and nobody but its own process reaches its peer socket', async () => {
      const chain =
        readFileSync(cluster.layout.serverCertificate, 'utf8').match(/-----BEGIN[\s\S]+?-----END.*/g) ?? [];
      const [server, ca] = chain.map((pem) => new X509Certificate(pem));
      expect(ca?.fingerprint256).toBe(new X509Certificate(readFileSync(cluster.layout.ca)).fingerprint256);
      expect([server?.checkIP('127.0.0.1'), server?.checkHost('first'), server?.ca]).toEqual([
        '127.0.0.1',
        'first',
        false,
      ]);
      const { stdout } = spawnSync('ss', ['-Hltnp'], { encoding: 'utf8' });
      const own = stdout.split('\n').filter((line) => line.includes(`:${cluster.port} `));
      const pid = /pid=(\d+)/.exec(own[0] ?? '')?.[1];
      expect(stdout.split('\n').filter((line) => line.includes(`pid=${pid},`))).toHaveLength(1);
    });

    test('renewed, the certificate is another one, which etcd shows without a restart', async () => {
      const host = asHost();
      await put(host, `${PREFIX}/subnets/10.244.1.0-24`);
      const serial = () => new X509Certificate(readFileSync(cluster.layout.serverCertificate)).serialNumber;
      const before = serial();
      cluster.onStart = () => Promise.reject(new Error('etcd was restarted'));
      await cluster.found({ renew: true });
      expect(serial()).not.toBe(before);
      const { stdout } = spawnSync(
        'sh',
        [
          '-c',
          `openssl s_client -connect ${cluster.address} </dev/null 2>/dev/null | openssl x509 -noout -serial`,
        ],
        { encoding: 'utf8' },
      );
      expect(stdout.trim().toUpperCase()).toBe(`SERIAL=${serial()}`);
      await put(host, `${PREFIX}/subnets/10.244.1.0-24`);
      await put(asHost(), `${PREFIX}/subnets/10.244.1.0-24`);
    });

    test('run again, it changes nothing', async () => {
      const content = () =>
        Object.values(cluster.layout)
          .filter((path) => existsSync(path) && statSync(path).isFile())
          .map((path) => readFileSync(path, 'utf8'));
      const before = content();
      let starts = 0;
      cluster.onStart = async () => {
        starts++;
      };
      await cluster.found();
      expect([content(), starts]).toEqual([before, 0]);
      await put(asHost(), `${PREFIX}/subnets/10.244.1.0-24`);
    });

    test('writes the network config once, and says so when another was wanted', async () => {
      const said: string[] = [];
      const ensure = (network: string, wanted: boolean) =>
        cluster.asRoot(({ store }) =>
          ensureNetwork(store, PREFIX, JSON.stringify({ Network: network }), wanted, (line) =>
            said.push(line),
          ),
        );
      expect(await ensure('10.5.0.0/16', true)).toEqual(['10.5.0.0/16']);
      expect(await ensure('10.6.0.0/16', false)).toEqual(['10.5.0.0/16']);
      expect(said).toEqual([]);
      expect(await ensure('10.6.0.0/16', true)).toEqual(['10.5.0.0/16']);
      expect(said).toEqual([
        expect.stringMatching(/10\.5\.0\.0\/16 already.*corduroy config set --config-file/),
      ]);
      expect((await asHost().get(`${PREFIX}/config`))?.value).toBe('{"Network":"10.5.0.0/16"}');
    });

    test('a password file that was lost gets a new password, which counts from then on', async () => {
      const lost = readFileSync(cluster.layout.passwordFile, 'utf8').trim();
      rmSync(cluster.layout.passwordFile);
      await cluster.found();
      await put(asHost(), `${PREFIX}/subnets/10.244.1.0-24`);
      expect(etcdctl(`--user=corduroyd:${lost}`, 'get', PREFIX).output).toMatch(/authentication failed/);
    });

    test('without the key of the CA nothing is renewed, and the file is named', async () => {
      renameSync(cluster.layout.caKey, `${cluster.layout.caKey}.offline`);
      await cluster.found();
      await expect(cluster.found({ renew: true })).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringContaining('ca.key'),
      });
    });
  });
});
