import { createHash, randomBytes } from 'node:crypto';
import { CorduroyError } from '../errors.ts';
import { formatFingerprint, parseFingerprint } from './fingerprint.ts';

/**
 * What a host needs to be let in: one word to paste. Whoever has it can read this host's way into etcd, once it is
 * shown to the etcd whose CA it names, and until it ends.
 *
 *     cdy1.BASE64URL, of
 *
 *      0            32    37          53      57                   n-4      n
 *      ├────────────┼─────┼───────────┼───────┼────────────────────┼────────┤
 *      │ SHA-256 of │ id  │ secret    │ ends  │ addresses of etcd, │ check  │
 *      │ the CA     │     │           │       │ comma-separated    │        │
 *      └────────────┴─────┴───────────┴───────┴────────────────────┴────────┘
 *
 * `ends` counts seconds since 1970, as an unsigned integer of network order. `check` is the beginning of the SHA-256 of
 * all before it: a word that was mistyped, or cut short, is told from one that was revoked.
 */
export interface JoinToken {
  /** Of the certificate of the CA, in openssl's form. */
  readonly caFingerprint: string;
  /** Ten hexadecimal digits: not secret, the name of the token. */
  readonly id: string;
  readonly secret: string;
  /** To the second. The joiner goes by it; etcd, and who sweeps there, by what is kept in etcd. */
  readonly endsAt: Date;
  /** `HOST:PORT` each, at least one. */
  readonly addresses: readonly string[];
}

const PREFIX = 'cdy1.';
const CA = 32;
const ID = 5;
/** 128 bits, beyond guessing. */
const SECRET = 16;
const ENDS = 4;
const CHECK = 4;
const ADDRESSES_AT = CA + ID + SECRET + ENDS;

const ADDRESS = /^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

export function newTokenId(): string {
  return randomBytes(ID).toString('hex');
}

export function newSecret(): string {
  return randomBytes(SECRET).toString('base64url');
}

export function formatToken({ caFingerprint, id, secret, endsAt, addresses }: JoinToken): string {
  const ends = Buffer.alloc(ENDS);
  ends.writeUInt32BE(Math.floor(endsAt.getTime() / 1000));
  const content = Buffer.concat([
    parseFingerprint(caFingerprint),
    Buffer.from(id, 'hex'),
    Buffer.from(secret, 'base64url'),
    ends,
    Buffer.from(addresses.join(',')),
  ]);
  return PREFIX + Buffer.concat([content, checkOf(content)]).toString('base64url');
}

/** @throws CorduroyError `usage` saying how the text is no token; never repeats it */
export function parseToken(text: string): JoinToken {
  // Terminals and mail programs break long lines.
  const word = text.replace(/\s+/g, '');
  if (!word.startsWith(PREFIX)) throw badToken(reasonFor(word));
  const bytes = Buffer.from(word.slice(PREFIX.length), 'base64url');
  const content = bytes.subarray(0, -CHECK);
  // Buffer.from skips what is not base64url, and bits that fill up the last character.
  const whole = PREFIX + bytes.toString('base64url') === word;
  if (!whole || !checkOf(content).equals(bytes.subarray(-CHECK)))
    throw badToken('is not whole: it was cut short, or a character of it has changed');
  const addresses = content.subarray(ADDRESSES_AT).toString('utf8').split(',');
  if (content.length <= ADDRESSES_AT || !addresses.every((address) => ADDRESS.test(address)))
    throw badToken('names no address of etcd');
  return {
    caFingerprint: formatFingerprint(content.subarray(0, CA)),
    id: content.subarray(CA, CA + ID).toString('hex'),
    secret: content.subarray(CA + ID, CA + ID + SECRET).toString('base64url'),
    endsAt: new Date(content.readUInt32BE(CA + ID + SECRET) * 1000),
    addresses,
  };
}

function reasonFor(word: string): string {
  if (word === '') return 'is empty';
  return /^cdy\d+\./.test(word)
    ? 'is of another version: install the same version of Corduroy on both hosts'
    : `is none: one begins with "${PREFIX}"`;
}

function checkOf(content: Uint8Array): Buffer {
  return createHash('sha256').update(PREFIX).update(content).digest().subarray(0, CHECK);
}

function badToken(how: string): CorduroyError {
  return new CorduroyError(
    'usage',
    `the join token ${how}. Copy the whole word that was printed on the first host, or make another there: corduroy token create`,
  );
}
