import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { fetchEnrolment } from '../../../src/enroll/join.ts';
import { type JoinToken, parseToken } from '../../../src/enroll/token.ts';
import { etcdMissing } from '../../support/etcd.ts';
import { Authority, opensslMissing } from '../store/certificates.ts';
import { FoundedCluster } from './founded-cluster.ts';
import { certificateFrom, Impostor } from './impostor.ts';

/** The secret of a token is for the etcd whose CA it pins, and for nobody who answers in its place. */
describe('whom a joiner trusts', () => {
  const missing = etcdMissing() ?? opensslMissing();
  let cluster: FoundedCluster;
  let token: JoinToken;
  /** Not the cluster's. */
  let stranger: Authority;
  const impostors: Impostor[] = [];

  beforeAll(async () => {
    if (missing !== undefined) return;
    cluster = await FoundedCluster.founded();
    token = parseToken((await cluster.token()).token);
    stranger = await Authority.create();
  });
  afterAll(async () => {
    await cluster?.remove();
    await stranger?.remove();
  });
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    for (const impostor of impostors.splice(0)) impostor.stop();
  });

  const impostor = async (...args: Parameters<typeof Impostor.start>) => {
    const started = await Impostor.start(...args);
    impostors.push(started);
    return started;
  };
  /** The token, of an etcd at another address. */
  const tokenFor = (address: string, changes: Partial<JoinToken> = {}): JoinToken => ({
    ...token,
    addresses: [address],
    ...changes,
  });

  test('the etcd of the token, also where somebody passes everything on', async () => {
    const files = await stranger.issue('etcd');
    const relay = await impostor(certificateFrom(files), { port: cluster.port }, Number.POSITIVE_INFINITY);
    await fetchEnrolment(tokenFor(relay.address));
    expect(relay.connections).toBeGreaterThan(2);
  });

  test('nobody with another CA: both fingerprints are shown, and nothing is said to him', async () => {
    const files = await stranger.issue('etcd');
    const false_ = await impostor(certificateFrom(files, files.ca));
    const fingerprint = new X509Certificate(readFileSync(files.ca)).fingerprint256;
    await expect(fetchEnrolment(tokenFor(false_.address))).rejects.toMatchObject({
      code: 'untrusted',
      message: expect.stringMatching(
        new RegExp(`token:   ${token.caFingerprint}\n.*shown: ${fingerprint}\n`),
      ),
    });
    expect([false_.connections, false_.heard.length]).toEqual([1, 0]);
  });

  test("nobody who shows the cluster's CA beside a certificate of his own", async () => {
    const files = await stranger.issue('etcd');
    const false_ = await impostor(certificateFrom(files, cluster.layout.ca));
    await expect(fetchEnrolment(tokenFor(false_.address))).rejects.toMatchObject({ code: 'untrusted' });
    expect(false_.heard.length).toBe(0);
  });

  test.each([1, 2])('nobody who steps in after %i connections to the real one', async (passedOn) => {
    const files = await stranger.issue('etcd');
    const false_ = await impostor(certificateFrom(files, files.ca), { port: cluster.port }, passedOn);
    await expect(fetchEnrolment(tokenFor(false_.address))).rejects.toMatchObject({
      code: passedOn === 1 ? 'untrusted' : 'store-unavailable',
    });
    expect(false_.connections).toBeGreaterThan(passedOn);
    expect(false_.heard.length).toBe(0);
  });

  test('whoever has the key of etcd is told the secret: what is heard elsewhere is what would be heard', async () => {
    const { serverCertificate: cert, serverKey: key } = cluster.layout;
    const thief = await impostor(certificateFrom({ cert, key }));
    await expect(fetchEnrolment(tokenFor(thief.address))).rejects.toMatchObject({
      code: 'store-unavailable',
    });
    expect(thief.heard.length).toBeGreaterThan(0);
  });

  test('no certificate of the CA that is for another address', async () => {
    const files = await stranger.issue('etcd'); // For 127.0.0.1 and localhost.
    const other = await impostor(certificateFrom(files, files.ca), undefined, 0, '127.0.0.2');
    const { fingerprint256: caFingerprint } = new X509Certificate(readFileSync(files.ca));
    await expect(fetchEnrolment(tokenFor(other.address, { caFingerprint }))).rejects.toMatchObject({
      code: 'untrusted',
      message: expect.stringMatching(/is not for this address: .*corduroy init --renew/),
    });
    expect(other.heard.length).toBe(0);
  });

  test.each([
    ['is not valid yet', 1, 2, /is valid from .*this host's clock says .*timedatectl/],
    ['has expired', -2, -1, /was valid until .*corduroy init --renew/],
  ])('no certificate that %s: the clock may be wrong', async (_what, begins, ends, says) => {
    const day = (days: number) => new Date(Date.now() + days * 86_400_000);
    const files = await stranger.issue('etcd', day(ends), day(begins));
    const server = await impostor(certificateFrom(files, files.ca));
    const { fingerprint256: caFingerprint } = new X509Certificate(readFileSync(files.ca));
    await expect(fetchEnrolment(tokenFor(server.address, { caFingerprint }))).rejects.toMatchObject({
      code: 'untrusted',
      message: expect.stringMatching(says),
    });
    expect(server.heard.length).toBe(0);
  });

  test('whatever root has in its environment', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const day = (days: number) => new Date(Date.now() + days * 86_400_000);
    const files = await stranger.issue('etcd', day(-1), day(-2));
    const server = await impostor(certificateFrom(files, files.ca));
    const { fingerprint256: caFingerprint } = new X509Certificate(readFileSync(files.ca));
    await expect(fetchEnrolment(tokenFor(server.address, { caFingerprint }))).rejects.toMatchObject({
      code: 'untrusted',
    });
    expect([server.connections, server.heard.length], 'it does not come to a third').toEqual([2, 0]);
  });

  test('where nobody listens, the message says where to look; another address that answers will do', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const gone = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    silent.close();
    await once(silent, 'close');
    await expect(fetchEnrolment(tokenFor(gone))).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringMatching(
        new RegExp(`${gone} .*nothing listens there.*systemctl status corduroy-etcd`),
      ),
    });
    await fetchEnrolment({ ...token, addresses: [gone, cluster.address] });
  });

  test('what speaks no TLS', async () => {
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(
      0,
      '127.0.0.1',
    );
    await once(plain, 'listening');
    const address = `127.0.0.1:${(plain.address() as AddressInfo).port}`;
    await expect(fetchEnrolment(tokenFor(address))).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringContaining('does not speak TLS'),
    });
    plain.close();
  });
});
