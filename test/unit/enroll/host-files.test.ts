import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { resolveOptions } from '../../../src/config/options.ts';
import { ensureAuthority } from '../../../src/enroll/certificates.ts';
import { membershipOf, writeHostFiles } from '../../../src/enroll/host-files.ts';
import { founderLayout, type HostLayout, hostLayout } from '../../../src/enroll/layout.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

const enrolment = {
  endpoints: ['https://10.0.0.1:2379'],
  prefix: '/coreos.com/network',
  username: 'corduroyd',
  password: 'correct-horse',
};

describe("a host's files", () => {
  let layout: HostLayout;
  let ca: string;
  let fingerprint: string;

  const elsewhere = mkdtempSync(join(tmpdir(), 'cdyt-ca-'));
  beforeAll(async () => {
    const founder = founderLayout(join(elsewhere, 'corduroyd.json'), '/nowhere');
    ({ fingerprint256: fingerprint } = await ensureAuthority(founder));
    ca = readFileSync(founder.ca, 'utf8');
  });
  afterAll(() => rmSync(elsewhere, { recursive: true }));
  beforeEach(() => {
    layout = hostLayout(`${temporaryFolder()}/corduroyd.json`, '');
  });
  const settings = () => JSON.parse(readFileSync(layout.configFile, 'utf8')) as Record<string, unknown>;
  const flags = () => resolveOptions({ 'config-file': [layout.configFile] }, {}).flags;
  const mode = (path: string) => statSync(path).mode & 0o777;

  test('are what the daemon takes, and the password is for root alone', () => {
    writeHostFiles(layout, { ca, ...enrolment });
    expect(flags()).toMatchObject({
      'etcd-endpoints': ['https://10.0.0.1:2379'],
      'etcd-username': 'corduroyd',
      'etcd-prefix': '/coreos.com/network',
      'ip-masq': true,
    });
    expect(readFileSync(flags()['etcd-password-file'] ?? '', 'utf8').trim()).toBe('correct-horse');
    expect(new X509Certificate(readFileSync(flags()['etcd-cafile'] ?? '')).fingerprint256).toBe(fingerprint);
    expect(mode(layout.passwordFile)).toBe(0o600);
    expect(readFileSync(layout.configFile, 'utf8')).not.toContain('correct-horse');
  });

  test('leave other settings alone, and put those of another way into etcd aside', () => {
    const before = {
      'healthz-port': 9090,
      'ip-masq': false,
      'etcd-endpoints': ['https://old:2379'],
      'etcd-username': 'u',
      'etcd-password': 'p',
      iface: ['eth1'],
    };
    writeFileSync(layout.configFile, JSON.stringify(before));
    chmodSync(layout.configFile, 0o600);
    writeHostFiles(layout, { ca, ...enrolment, prefix: '/lab' });
    expect(settings()).toMatchObject({
      'healthz-port': 9090,
      'ip-masq': false,
      iface: ['eth1'],
      'etcd-prefix': '/lab',
    });
    expect(settings()).not.toHaveProperty('etcd-password');
    expect(mode(layout.configFile)).toBe(0o600);
  });

  test('of an operator stay his: a link leads where it led, and the group may read what it could', () => {
    const kept = `${layout.configFile}.kept`;
    writeFileSync(kept, '{}');
    chmodSync(kept, 0o640);
    if (process.getuid?.() === 0) chownSync(kept, 0, 12);
    const { gid } = statSync(kept);
    symlinkSync(kept, layout.configFile);
    writeHostFiles(layout, { ca, ...enrolment });
    expect(lstatSync(layout.configFile).isSymbolicLink()).toBe(true);
    expect([settings()['etcd-username'], statSync(kept).gid, mode(kept)]).toEqual(['corduroyd', gid, 0o640]);
  });

  test('that came back from a backup readable to all are for root alone again', () => {
    writeHostFiles(layout, { ca, ...enrolment });
    chmodSync(layout.passwordFile, 0o644);
    writeHostFiles(layout, { ca, ...enrolment });
    expect(mode(layout.passwordFile)).toBe(0o600);
  });

  test('name the interface where somebody has said which', () => {
    writeHostFiles(layout, { ca, ...enrolment, iface: '192.168.56.11' });
    expect(flags().iface).toEqual(['192.168.56.11']);
  });

  test('of two instances are different ones', () => {
    const lab = hostLayout(`${dirname(layout.configFile)}/corduroyd-lab.json`, 'lab');
    writeHostFiles(layout, { ca, ...enrolment });
    writeHostFiles(lab, { ca, ...enrolment, password: 'another' });
    expect(readFileSync(layout.passwordFile, 'utf8')).toContain('correct-horse');
    expect(new Set([...Object.values(layout), ...Object.values(lab)]).size).toBe(6);
  });

  describe('tell which cluster it is in', () => {
    const membership = (of = fingerprint) => membershipOf(layout, flags(), of);

    test('none, before it has joined one', () => {
      writeFileSync(layout.configFile, '{"ip-masq": true}');
      expect(membership()).toEqual({ in: 'none' });
    });

    test('the same, by the CA', () => {
      writeHostFiles(layout, { ca, ...enrolment });
      expect(membership()).toEqual({ in: 'same' });
    });

    test('another, by its CA, or for want of one', () => {
      writeHostFiles(layout, { ca, ...enrolment });
      expect(membership('00:11')).toEqual({ in: 'other', endpoints: ['https://10.0.0.1:2379'] });
      mkdirSync(dirname(layout.ca), { recursive: true });
      writeFileSync(layout.ca, 'no certificate');
      expect(membership()).toMatchObject({ in: 'other' });
      writeFileSync(layout.configFile, '{"etcd-endpoints": "http://10.9.9.9:2379"}');
      expect(membership()).toEqual({ in: 'other', endpoints: ['http://10.9.9.9:2379'] });
    });
  });
});
