import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { CorduroyError, messageOf } from '../errors.ts';
import type { FlagValues } from './flags.ts';

/** What the files hold that the flags name, checked as far as one can without asking etcd. */
export interface EtcdFiles {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly password: string | undefined;
  /** A warning that the user should get. */
  readonly remark: string | undefined;
}

export type FileFlag = 'etcd-cafile' | 'etcd-certfile' | 'etcd-keyfile' | 'etcd-password-file';

/**
 * @param before what was read earlier: what is the same is not checked again
 * @throws CorduroyError `host-file` naming the flag, the file and what is wrong with it: it cannot be read, is cut short,
 *   certificate and key do not belong together
 */
export function readEtcdFiles(flags: FlagValues, before?: EtcdFiles): EtcdFiles {
  const password = readContent('etcd-password-file', flags, textBytes(before?.password));
  const files: EtcdFiles = {
    ca: readContent('etcd-cafile', flags, before?.ca),
    cert: readContent('etcd-certfile', flags, before?.cert),
    key: readContent('etcd-keyfile', flags, before?.key),
    // Editors end a file with a newline.
    password: password?.toString('utf8').replace(/\r?\n$/, ''),
    remark: openToAll(flags['etcd-password-file']),
  };
  if (before === undefined || changedFiles(before, files).length > 0) check(flags, files);
  return files;
}

/** The flags whose files differ. */
export function changedFiles(before: EtcdFiles, after: EtcdFiles): FileFlag[] {
  const differ = (a: Buffer | undefined, b: Buffer | undefined) =>
    a === undefined || b === undefined ? a !== b : !a.equals(b);
  const flags: FileFlag[] = [];
  if (differ(before.ca, after.ca)) flags.push('etcd-cafile');
  if (differ(before.cert, after.cert)) flags.push('etcd-certfile');
  if (differ(before.key, after.key)) flags.push('etcd-keyfile');
  if (before.password !== after.password) flags.push('etcd-password-file');
  return flags;
}

function readContent(name: FileFlag, flags: FlagValues, before: Buffer | undefined): Buffer | undefined {
  const path = flags[name];
  if (path === undefined) return undefined;
  try {
    // A pipe (`--etcd-password-file=<(…)`) gives what it holds once.
    if (before !== undefined && !statSync(path).isFile()) return before;
    return readFileSync(path);
  } catch (error) {
    throw unusable(name, flags, `cannot be read: ${messageOf(error)}`);
  }
}

function check(flags: FlagValues, { ca, cert, key, password }: EtcdFiles): void {
  if (password === '') throw unusable('etcd-password-file', flags, 'is empty: write the password to it');
  if (ca !== undefined) certificatesIn('etcd-cafile', flags, ca);
  if (cert !== undefined && key !== undefined) {
    const [own] = certificatesIn('etcd-certfile', flags, cert);
    if (own?.checkPrivateKey(privateKeyIn(flags, key)) !== true)
      throw unusable('etcd-keyfile', flags, `does not belong to --etcd-certfile ${flags['etcd-certfile']}`);
  }
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    throw new CorduroyError(
      'host-file',
      `the certificates and key for etcd cannot be used: ${messageOf(error)}`,
    );
  }
}

/** All certificates of a file. OpenSSL itself would take a file that is cut short for one with fewer of them. */
function certificatesIn(name: FileFlag, flags: FlagValues, pem: Buffer): X509Certificate[] {
  const text = pem.toString('latin1');
  const blocks = text.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[\s\S]*?-----END \1-----/g) ?? [];
  const begun = text.match(/-----BEGIN /g)?.length ?? 0;
  const ended = text.match(/-----END [A-Z0-9 ]+-----/g)?.length ?? 0;
  if (blocks.length === 0 || begun !== ended)
    throw unusable(
      name,
      flags,
      'is no whole PEM file of certificates (-----BEGIN CERTIFICATE----- … -----END)',
    );
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw unusable(name, flags, `holds a certificate that cannot be read: ${messageOf(error)}`);
  }
}

function privateKeyIn(flags: FlagValues, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's own words tell nothing that helps.
    throw unusable('etcd-keyfile', flags, 'is no private key in PEM form without a passphrase');
  }
}

function openToAll(path: string | undefined): string | undefined {
  if (path === undefined || (statSync(path).mode & 0o004) === 0) return undefined;
  return `${path} holds a password and every user can read it: chmod 600 ${path}`;
}

function textBytes(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text);
}

function unusable(name: FileFlag, flags: FlagValues, why: string): CorduroyError {
  // Not `usage`: the flag may be right, and the file be written in a moment.
  return new CorduroyError('host-file', `--${name} ${flags[name]} ${why}`);
}
