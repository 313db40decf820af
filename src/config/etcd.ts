import { readFileSync } from 'node:fs';
import { CorduroyError, messageOf } from '../errors.ts';
import type { FlagValues } from './flags.ts';

/** How to reach etcd, with the files that the flags name read in. */
export interface EtcdAccess {
  readonly endpoints: readonly string[];
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly credentials?: { readonly username: string; readonly password: string };
}

/** @throws CorduroyError `usage` naming the flag whose file cannot be read */
export function etcdAccess(flags: FlagValues): EtcdAccess {
  const ca = readPem('etcd-cafile', flags);
  const cert = readPem('etcd-certfile', flags);
  const key = readPem('etcd-keyfile', flags);
  const secure = flags['etcd-endpoints'].every((endpoint) => endpoint.startsWith('https:'));
  const { 'etcd-username': username, 'etcd-password': password } = flags;
  return {
    endpoints: flags['etcd-endpoints'],
    ...(secure ? { tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } } : {}),
    ...(username !== undefined && password !== undefined ? { credentials: { username, password } } : {}),
  };
}

/** The prefix without a slash at its end. */
export function etcdPrefix(flags: FlagValues): string {
  return flags['etcd-prefix'].replace(/\/+$/, '');
}

function readPem(
  name: 'etcd-cafile' | 'etcd-certfile' | 'etcd-keyfile',
  flags: FlagValues,
): Buffer | undefined {
  const path = flags[name];
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CorduroyError('usage', `--${name} cannot be read: ${messageOf(error)}`);
  }
}
