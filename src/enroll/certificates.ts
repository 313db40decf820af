import { randomBytes, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { CorduroyError } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { run } from '../host/exec.ts';
import type { FounderLayout } from './layout.ts';

/**
 * Ten years, for the CA and for etcd alike: both keys lie on one disk, so that a shorter life would protect nobody, and
 * a certificate that ends unnoticed takes the control plane of every host with it.
 */
const DAYS = 3650;

/** Who etcd runs as, and so has to own its key. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What clients call the server by. */
export interface ServerNames {
  readonly address: string;
  readonly hostName: string;
}

/** Makes the CA, unless there is one, whose key may be kept elsewhere. @returns its certificate */
export async function ensureAuthority(layout: FounderLayout): Promise<X509Certificate> {
  const { pkiFolder, ca, caKey, adminFile } = layout;
  const present = readIfThere(ca);
  if (present !== undefined && (existsSync(caKey) || existsSync(adminFile)))
    return new X509Certificate(present);
  return await inScratch(pkiFolder, async (scratch) => {
    const [key, certificate] = [join(scratch, 'ca.key'), join(scratch, 'ca.pem')];
    const config = join(scratch, 'openssl.cnf');
    writeFileSync(config, requestConfig('Corduroy etcd CA', AUTHORITY_EXTENSIONS));
    await run('openssl', [
      ...['req', '-x509', ...NEW_KEY, '-config', config, '-extensions', 'extensions', '-days', String(DAYS)],
      ...['-keyout', key, '-out', certificate],
    ]);
    chmodSync(key, 0o600);
    chmodSync(certificate, 0o644);
    renameSync(key, caKey);
    renameSync(certificate, ca);
    return new X509Certificate(readFileSync(ca));
  });
}

/** Whether the server's certificate is there, is of this CA, and good for the address. */
export function serverCertificateFits(
  { serverCertificate, serverKey }: FounderLayout,
  authority: X509Certificate,
  address: string,
): boolean {
  const text = readIfThere(serverCertificate);
  if (text === undefined || !existsSync(serverKey)) return false;
  const certificate = new X509Certificate(text);
  return certificate.checkIssued(authority) && certificate.checkIP(address) !== undefined;
}

/**
 * A new key and certificate for etcd, which takes them up with the next connection.
 * @throws CorduroyError `usage` without the CA's key
 */
export async function issueServerCertificate(
  { pkiFolder, ca, caKey, serverCertificate, serverKey }: FounderLayout,
  names: ServerNames,
  owner: Owner | undefined,
): Promise<void> {
  if (!existsSync(caKey)) {
    throw new CorduroyError(
      'usage',
      `a new certificate for etcd needs the key of its CA, ${caKey}: put it back there`,
    );
  }
  await inScratch(pkiFolder, async (scratch) => {
    const file = (name: string) => join(scratch, name);
    writeFileSync(file('openssl.cnf'), requestConfig('etcd', serverExtensions(names)));
    await run('openssl', [
      ...['req', '-new', ...NEW_KEY, '-config', file('openssl.cnf')],
      ...['-keyout', file('etcd.key'), '-out', file('etcd.csr')],
    ]);
    await run('openssl', [
      ...['x509', '-req', '-in', file('etcd.csr'), '-CA', ca, '-CAkey', caKey, '-set_serial', newSerial()],
      ...['-extfile', file('openssl.cnf'), '-extensions', 'extensions', '-days', String(DAYS)],
      ...['-out', file('etcd.pem')],
    ]);
    writeFileSync(file('chain.pem'), readFileSync(file('etcd.pem'), 'utf8') + readFileSync(ca, 'utf8'));
    chmodSync(file('chain.pem'), 0o644); // Of a root with a strict umask, too: etcd is not root.
    chmodSync(file('etcd.key'), 0o600);
    if (owner !== undefined) chownSync(file('etcd.key'), owner.uid, owner.gid);
    renameSync(file('etcd.key'), serverKey);
    renameSync(file('chain.pem'), serverCertificate);
  });
}

/** Keys come into being where nobody else can look, and are moved when they are whole. */
async function inScratch<T>(pkiFolder: string, work: (scratch: string) => Promise<T>): Promise<T> {
  mkdirSync(pkiFolder, { recursive: true, mode: 0o755 });
  const scratch = mkdtempSync(join(pkiFolder, '.new-')); // mode 0700
  try {
    return await work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A configuration of our own: the distribution's may add extensions. */
function requestConfig(commonName: string, extensions: readonly string[]): string {
  return [
    '[req]',
    'distinguished_name = name',
    'prompt = no',
    '[name]',
    `commonName = ${commonName}`,
    '[extensions]',
    ...extensions,
    '',
  ].join('\n');
}

const AUTHORITY_EXTENSIONS = [
  'basicConstraints = critical,CA:TRUE,pathlen:0',
  'keyUsage = critical,keyCertSign,cRLSign',
  'subjectKeyIdentifier = hash',
];

/** Also a client's: etcd lets in nobody without a certificate until its users are set up. */
function serverExtensions({ address, hostName }: ServerNames): string[] {
  const names = ['DNS:localhost', 'IP:127.0.0.1', isIP(address) ? `IP:${address}` : `DNS:${address}`];
  if (/^[A-Za-z0-9.-]{1,253}$/.test(hostName)) names.push(`DNS:${hostName}`);
  return [
    'basicConstraints = critical,CA:FALSE',
    'keyUsage = critical,digitalSignature',
    'extendedKeyUsage = serverAuth,clientAuth',
    'subjectKeyIdentifier = hash',
    'authorityKeyIdentifier = keyid',
    `subjectAltName = ${[...new Set(names)].join(',')}`,
  ];
}

/** RFC 5280, 4.1.2.2: positive, at most 20 bytes. */
function newSerial(): string {
  return `0x01${randomBytes(15).toString('hex')}`;
}
