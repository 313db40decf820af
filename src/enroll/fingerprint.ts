import type { X509Certificate } from 'node:crypto';

/** SHA-256 of a certificate in the form that `openssl x509 -noout -fingerprint -sha256` prints. */
export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256;
}

/** @param bytes 32 of them */
export function formatFingerprint(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join(':');
}

export function parseFingerprint(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}
