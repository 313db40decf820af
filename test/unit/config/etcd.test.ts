import { describe, expect, test } from 'vitest';
import { etcdAccess, etcdPrefix } from '../../../src/config/etcd.ts';
import { resolve, temporaryFile, usage } from './resolve.ts';

describe('etcdAccess', () => {
  test('plain: endpoints and nothing else', () => {
    expect(etcdAccess(resolve(['--etcd-endpoints=http://a:1,http://b:2']).flags)).toEqual({
      endpoints: ['http://a:1', 'http://b:2'],
    });
  });

  test('TLS and credentials: the files read in', () => {
    const [ca, cert, key] = ['CA', 'CERT', 'KEY'].map((text) => temporaryFile(text));
    const { flags } = resolve([
      '--etcd-endpoints=https://a:1',
      `--etcd-cafile=${ca}`,
      `--etcd-certfile=${cert}`,
      `--etcd-keyfile=${key}`,
      '--etcd-username=u',
      '--etcd-password=p',
    ]);
    expect(etcdAccess(flags)).toEqual({
      endpoints: ['https://a:1'],
      tls: { ca: Buffer.from('CA'), cert: Buffer.from('CERT'), key: Buffer.from('KEY') },
      credentials: { username: 'u', password: 'p' },
    });
  });

  test("https without a CA: TLS with the system's", () => {
    expect(etcdAccess(resolve(['--etcd-endpoints=https://a:1']).flags).tls).toEqual({});
  });

  test('a file that cannot be read: the flag is named', () => {
    const { flags } = resolve(['--etcd-endpoints=https://a:1', '--etcd-cafile=/nonexistent/ca.pem']);
    expect(() => etcdAccess(flags)).toThrow(usage(/^--etcd-cafile cannot be read: .*\/nonexistent\/ca\.pem/));
  });
});

test.each([
  ['/lab', '/lab'],
  ['/lab/', '/lab'],
  ['/a/b//', '/a/b'],
])('the prefix %s is %s', (given, expected) => {
  expect(etcdPrefix(resolve([`--etcd-prefix=${given}`]).flags)).toBe(expected);
});
