import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { CorduroyError, messageOf } from '../errors.ts';
import { printable } from '../printable.ts';
import { fingerprintOf } from './fingerprint.ts';

/** Milliseconds for a handshake. */
const PATIENCE = 10_000;

/**
 * Gets the CA's certificate from the server itself, knowing only its fingerprint, and proves that the server has a
 * certificate of that CA for its address. Sends nothing but handshakes.
 *
 * @param address `HOST:PORT`
 * @returns the CA's certificate as PEM
 * @throws CorduroyError `untrusted`: it is another CA, or the certificate cannot be relied on, with the reason;
 *   `store-unavailable`: nobody to shake hands with
 */
export async function pinnedAuthority(address: string, fingerprint: string): Promise<string> {
  // Nothing can be verified yet, and nothing is said.
  const presented = await handshake(address, { rejectUnauthorized: false }, chainOf);
  const authority = presented.find((certificate) => fingerprintOf(certificate) === fingerprint);
  if (authority === undefined) throw otherAuthority(address, fingerprint, presented);
  const pem = authority.toString();
  // Said in so many words, lest NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment decides.
  await handshake(address, { ca: pem, rejectUnauthorized: true }, () => undefined, presented[0]);
  return pem;
}

/** The server's certificate, and the ones that issued it, as far as the server shows them. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw !== undefined) {
    const current: DetailedPeerCertificate = next;
    chain.push(new X509Certificate(current.raw));
    // The last one issued itself.
    next = current.issuerCertificate === current ? undefined : current.issuerCertificate;
  }
  return chain;
}

/** @param shown the server's certificate, to tell what is wrong with it */
function handshake<T>(
  address: string,
  options: ConnectionOptions,
  look: (socket: TLSSocket) => T,
  shown?: X509Certificate,
): Promise<T> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      ALPNProtocols: ['h2'],
      timeout: PATIENCE,
      ...(isIP(host) ? {} : { servername: host }),
      ...options,
    });
    const fail = (error: NodeJS.ErrnoException) => {
      socket.destroy();
      reject(handshakeError(address, error, shown));
    };
    socket.on('timeout', () => fail(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    socket.on('error', fail);
    socket.on('secureConnect', () => {
      resolve(look(socket));
      socket.destroy();
    });
  });
}

/** IPv6 addresses stand in brackets. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(at + 1)) };
}

function otherAuthority(
  address: string,
  wanted: string,
  presented: readonly X509Certificate[],
): CorduroyError {
  const [last] = presented.slice(-1);
  const found = last === undefined ? 'no certificate' : fingerprintOf(last);
  return new CorduroyError(
    'untrusted',
    `${address} is not the etcd that this token was made for, and was told nothing.\n` +
      `  CA of the token:   ${wanted}\n` +
      `  CA that was shown: ${found}\n` +
      'Either etcd was set up anew since then (make another token on its host: corduroy token create), or somebody ' +
      'answers in its place',
  );
}

function handshakeError(
  address: string,
  error: NodeJS.ErrnoException,
  shown: X509Certificate | undefined,
): CorduroyError {
  const { code = '' } = error;
  const untrusted = (text: string) =>
    new CorduroyError('untrusted', `the certificate of etcd at ${address} ${text}`, { cause: error });
  const away = (text: string) =>
    new CorduroyError('store-unavailable', `etcd at ${address} cannot be reached: ${text}`, {
      cause: error,
      retryable: true,
    });
  const now = new Date().toISOString();
  switch (code) {
    case 'CERT_NOT_YET_VALID':
      return untrusted(
        `is valid from ${shown?.validFrom}, and this host's clock says ${now}: set the clock (timedatectl), then join again`,
      );
    case 'CERT_HAS_EXPIRED':
      return untrusted(
        `was valid until ${shown?.validTo}, and this host's clock says ${now}: if the clock is right, renew the ` +
          'certificate on the host of etcd: corduroy init --renew',
      );
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return untrusted('is not for this address: on the host of etcd: corduroy init --renew');
    case 'ECONNREFUSED':
      return away('nothing listens there; on its host: systemctl status corduroy-etcd');
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH': {
      const { host, port } = splitAddress(address);
      return away(
        `${printable(error.message)}. Is ${host} right, and does no firewall drop TCP port ${port}?`,
      );
    }
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return away('its name cannot be resolved');
  }
  // A certificate that OpenSSL cannot verify, or a conversation that is no TLS.
  if (shown !== undefined) return untrusted(`cannot be verified: ${printable(messageOf(error))}`);
  return away(`what answers there does not speak TLS (${printable(messageOf(error))})`);
}
