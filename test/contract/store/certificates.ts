import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const OPENSSL = '/usr/bin/openssl';

/** Why certificates cannot be made here; undefined when they can. */
export function opensslMissing(): string | undefined {
  return existsSync(OPENSSL) ? undefined : `needs ${OPENSSL}`;
}

export interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority in a folder of its own. */
export class Authority {
  readonly folder: string;
  #issued = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), 'corduroy-ca-')));
    await writeFile(authority.path('index.txt'), '');
    await writeFile(authority.path('ca.conf'), CONFIGURATION);
    await authority.#openssl(
      ...['req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '1'],
    );
    return authority;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /**
   * A certificate for 127.0.0.1 and localhost, to serve and to be shown by a client.
   * @param ends default: tomorrow
   * @param begins default: a minute ago
   */
  async issue(
    commonName: string,
    ends = new Date(Date.now() + 86_400_000),
    begins = new Date(Date.now() - 60_000),
  ): Promise<CertificateFiles> {
    const name = `${commonName}-${++this.#issued}`;
    await this.#openssl(
      ...['req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${commonName}`],
    );
    await this.#openssl(
      ...['ca', '-batch', '-notext', '-config', 'ca.conf', '-in', `${name}.csr`],
      ...['-out', `${name}.pem`, '-startdate', asn1(begins), '-enddate', asn1(ends)],
    );
    return { ca: this.path('ca.pem'), cert: this.path(`${name}.pem`), key: this.path(`${name}.key`) };
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }

  async #openssl(...args: string[]): Promise<void> {
    await promisify(execFile)(OPENSSL, args, { cwd: this.folder });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** UTC time in the form of `openssl ca`: YYYYMMDDHHMMSSZ. */
function asn1(date: Date): string {
  return `${date.toISOString().replace(/[-:T]|\..*/g, '')}Z`;
}

/** `openssl ca` alone sets an end to the second. */
const CONFIGURATION = `
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = both
unique_subject = no
[any]
commonName = supplied
[both]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = IP:127.0.0.1,DNS:localhost
`;
