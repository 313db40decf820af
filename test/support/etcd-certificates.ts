import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Paths of PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface EtcdCertificates {
  readonly ca: string;
  /** For all members, towards clients and towards each other. */
  readonly member: KeyPair;
  readonly client: KeyPair;
}

/** A CA of its own, and what it signed, in a folder. @param addresses at which members answer */
export async function makeCertificates(
  folder: string,
  addresses: readonly string[],
): Promise<EtcdCertificates> {
  const ca = { cert: join(folder, 'ca.pem'), key: join(folder, 'ca-key.pem') };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=test etcd CA', '-addext', 'keyUsage=critical,keyCertSign'];
  await execute('openssl', ['req', '-x509', ...key, ...subject, '-keyout', ca.key, '-out', ca.cert]);

  const sign = async (name: string, extensions: string): Promise<KeyPair> => {
    const pair = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) };
    const [request, settings] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
    // No common name: etcd would take that of a client's certificate for its user.
    await execute('openssl', ['req', ...key, '-subj', `/O=${name}`, '-keyout', pair.key, '-out', request]);
    writeFileSync(settings, extensions);
    const issuer = ['-CA', ca.cert, '-CAkey', ca.key, '-CAcreateserial', '-days', '2'];
    await execute('openssl', [
      ...['x509', '-req', '-in', request, ...issuer],
      ...['-extfile', settings, '-out', pair.cert],
    ]);
    return pair;
  };
  const names = [...addresses, '127.0.0.1'].map((address) => `IP:${address}`).join(',');
  return {
    ca: ca.cert,
    member: await sign('member', `extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=${names}\n`),
    client: await sign('client', 'extendedKeyUsage=clientAuth\n'),
  };
}
