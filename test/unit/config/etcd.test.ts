import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { etcdAccess, etcdPrefix } from '../../../src/config/etcd.ts';
import { resolve, temporaryFile, usage } from './resolve.ts';

const HTTPS = '--etcd-endpoints=https://a:1';
/** A daemon is started again for it: the file may come, or be whole, in a moment. */
const unusable = (message: RegExp) =>
  expect.objectContaining({ code: 'host-file', message: expect.stringMatching(message) });

/** Resolves and reads as both programs do; `log` is what they would say. */
function read(...argv: string[]) {
  const log: string[] = [];
  const say = (message: string) => log.push(message);
  return { ...etcdAccess(resolve(argv).flags, { info: say, warn: say }), log };
}

describe('what to show to etcd', () => {
  test('plain: endpoints and nothing else', () => {
    const { endpoints, access } = read('--etcd-endpoints=http://a:1,http://b:2');
    expect(endpoints).toEqual(['http://a:1', 'http://b:2']);
    expect(access()).toEqual({});
  });

  test("https without a CA: TLS with the system's", () => {
    expect(read(HTTPS).access()).toEqual({ tls: {} });
  });

  test('a file that cannot be read: flag and file are named', () => {
    expect(() => read(HTTPS, '--etcd-cafile=/nonexistent/ca.pem')).toThrow(
      unusable(/^--etcd-cafile \/nonexistent\/ca\.pem cannot be read: ENOENT/),
    );
  });
});

describe('certificates', () => {
  const OPENSSL = '/usr/bin/openssl';
  let made: string;
  let folder: string;
  const path = (name: string) => join(folder, name);
  const bytes = (name: string) => readFileSync(path(name));
  const flags = () => [
    HTTPS,
    `--etcd-cafile=${path('ca.pem')}`,
    `--etcd-certfile=${path('one.pem')}`,
    `--etcd-keyfile=${path('one.key')}`,
  ];

  beforeAll(() => {
    if (!existsSync(OPENSSL)) return;
    made = mkdtempSync(join(tmpdir(), 'cdyt-certs-'));
    for (const name of ['ca', 'one', 'two']) {
      const key = [
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        `${name}.key`,
      ];
      execFileSync(OPENSSL, ['req', '-x509', ...key, '-out', `${name}.pem`, '-subj', `/CN=${name}`], {
        cwd: made,
        stdio: 'ignore',
      });
    }
    const locked = ['-in', 'one.key', '-out', 'locked.key', '-aes256', '-passout', 'pass:secret'];
    execFileSync(OPENSSL, ['ec', ...locked], { cwd: made, stdio: 'ignore' });
  });
  afterAll(() => {
    if (made !== undefined) rmSync(made, { recursive: true });
  });
  beforeEach((context) => {
    if (!existsSync(OPENSSL)) return context.skip(`needs ${OPENSSL}`);
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const name of ['ca.pem', 'one.pem', 'one.key', 'two.pem', 'two.key', 'locked.key'])
      copyFileSync(join(made, name), path(name));
  });

  test('are read in', () => {
    expect(read(...flags()).access()).toEqual({
      tls: { ca: bytes('ca.pem'), cert: bytes('one.pem'), key: bytes('one.key') },
    });
  });

  test.each<[string, () => void, RegExp]>([
    ['no CA at all', () => writeFileSync(path('ca.pem'), 'CA'), /^--etcd-cafile \S+ is no whole PEM file/],
    [
      'a CA file that is cut short in its second certificate',
      () =>
        writeFileSync(path('ca.pem'), Buffer.concat([bytes('ca.pem'), bytes('one.pem').subarray(0, 200)])),
      /^--etcd-cafile \S+ is no whole PEM file/,
    ],
    [
      'a certificate of garbage',
      () => writeFileSync(path('one.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      /^--etcd-certfile \S+ holds a certificate that cannot be read/,
    ],
    ['an empty key', () => writeFileSync(path('one.key'), ''), /^--etcd-keyfile \S+ is no private key/],
    [
      'a key with a passphrase',
      () => copyFileSync(path('locked.key'), path('one.key')),
      /without a passphrase/,
    ],
    [
      "another certificate's key",
      () => copyFileSync(path('two.key'), path('one.key')),
      /^--etcd-keyfile \S+one\.key does not belong to --etcd-certfile \S+one\.pem$/,
    ],
  ])('%s: the flag, the file and what is wrong', (_what, spoil, says) => {
    spoil();
    expect(() => read(...flags())).toThrow(unusable(says));
  });

  test('unchanged files give the same object, so that no connection is made anew', () => {
    const { access, log } = read(...flags());
    const first = access();
    writeFileSync(path('one.pem'), bytes('one.pem'));
    expect(access()).toBe(first);
    expect(log).toEqual([]);
  });

  test.each<[string, (name: string) => void]>([
    ['written in place', (name) => copyFileSync(path(`two.${name}`), path(`one.${name}`))],
    ['renamed into place', (name) => renameSync(path(`two.${name}`), path(`one.${name}`))],
    [
      'swapped by a symbolic link, as in a Kubernetes secret',
      (name) => {
        symlinkSync(`two.${name}`, path('link'));
        renameSync(path('link'), path(`one.${name}`));
      },
    ],
  ])('%s: taken up when both belong together, said once each', (_how, replace) => {
    const { access, log } = read(...flags());
    const [first, cert, key] = [access(), bytes('two.pem'), bytes('two.key')];
    replace('pem');
    expect([access(), access()]).toEqual([first, first]);
    expect(log).toEqual([
      expect.stringMatching(/^--etcd-keyfile \S+ does not belong .*; what was read before/),
    ]);
    replace('key');
    const second = access();
    expect(second.tls).toMatchObject({ cert, key });
    expect(access()).toBe(second);
    expect(log.slice(1)).toEqual([expect.stringMatching(/^changed, .*one\.pem, .*one\.key$/)]);
  });

  test('a file that is away for a while: the old one, and a word each time it goes', () => {
    const { access, log } = read(...flags());
    const first = access();
    for (let i = 1; i <= 2; i++) {
      renameSync(path('one.key'), path('away'));
      expect([access(), access()]).toEqual([first, first]);
      renameSync(path('away'), path('one.key'));
      expect(access()).toBe(first);
      expect(log).toHaveLength(i);
    }
    expect(log[0]).toMatch(/^--etcd-keyfile \S+one\.key cannot be read: ENOENT/);
  });
});

describe('the password', () => {
  const file = (text: string, mode?: number) => temporaryFile(text, mode);
  const ofFile = (path: string) => read('--etcd-username=u', `--etcd-password-file=${path}`);
  const passwordOf = (path: string) => ofFile(path).access().credentials?.password;

  test('as a flag', () => {
    const { access } = read('--etcd-username=u', '--etcd-password=p');
    expect(access().credentials).toEqual({ username: 'u', password: 'p' });
  });

  test.each([
    ['p', 'p'],
    ['p\n', 'p'],
    ['p\r\n', 'p'],
    [' p \n', ' p '],
    ['p\n\n', 'p\n'],
  ])('of a file with %j is %j: what editors add is left out, and no more', (text, password) => {
    expect(passwordOf(file(text))).toBe(password);
  });

  test('a file that is empty or missing: says so', () => {
    for (const text of ['', '\n'])
      expect(() => ofFile(file(text))).toThrow(
        unusable(/^--etcd-password-file \/\S+ is empty: write the password/),
      );
    expect(() => ofFile('/nonexistent/pw')).toThrow(
      unusable(/^--etcd-password-file \/nonexistent\/pw cannot be read: ENOENT/),
    );
  });

  test('a file that every user can read: warned about with the command that mends it', () => {
    const open = file('hunter2', 0o644);
    const { access, log } = ofFile(open);
    access();
    expect(log).toEqual([`${open} holds a password and every user can read it: chmod 600 ${open}`]);
    chmodSync(open, 0o600);
    access();
    chmodSync(open, 0o604);
    access();
    expect(log).toHaveLength(2);
    expect(ofFile(file('hunter2', 0o640)).log).toEqual([]);
  });

  test('changed: the new one is used; emptied: the old one is', () => {
    const path = file('first\n');
    const { access, log } = ofFile(path);
    writeFileSync(path, 'second\n');
    expect(access().credentials?.password).toBe('second');
    writeFileSync(path, '');
    expect(access().credentials?.password).toBe('second');
    expect(log).toEqual([
      expect.stringMatching(/^changed, /),
      expect.stringMatching(/is empty.*stays in use/),
    ]);
    expect(log.join()).not.toMatch(/first|second/);
  });

  test.each<[string, string[], RegExp]>([
    [
      'both',
      ['--etcd-username=u', '--etcd-password=p', '--etcd-password-file=/p'],
      /are both given: drop one/,
    ],
    ['a file without a user', ['--etcd-password-file=/p'], /--etcd-password-file .* without --etcd-username/],
    ['a user without any', ['--etcd-username=u'], /--etcd-username .* without --etcd-password/],
  ])('%s: wrong use', (_what, argv, says) => {
    expect(() => resolve(argv)).toThrow(usage(says));
  });

  test('on the command line: warned about, without repeating it; from the environment: not', () => {
    const { warnings } = resolve(['--etcd-username=u', '--etcd-password=hunter2']);
    expect(warnings).toEqual([
      expect.stringMatching(/--etcd-password on the command line .*--etcd-password-file/),
    ]);
    expect(warnings.join()).not.toContain('hunter2');
    const variables = { CORDUROYD_ETCD_USERNAME: 'u', CORDUROYD_ETCD_PASSWORD: 'hunter2' };
    expect(resolve([], variables).warnings).toEqual([]);
  });
});

test.each([
  ['/lab', '/lab'],
  ['/lab/', '/lab'],
  ['/a/b//', '/a/b'],
])('the prefix %s is %s', (given, expected) => {
  expect(etcdPrefix(resolve([`--etcd-prefix=${given}`]).flags)).toBe(expected);
});
