import { messageOf } from '../errors.ts';
import { changedFiles, type EtcdFiles, readEtcdFiles } from './etcd-files.ts';
import type { FlagValues } from './flags.ts';

/** What to show to etcd: the contents of the files that the flags name. */
export interface EtcdAccess {
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly credentials?: { readonly username: string; readonly password: string };
}

/** How to reach etcd. */
export interface EtcdConnectionSettings {
  readonly endpoints: readonly string[];
  /**
   * Reads the files again. The same object as before while they say the same; also while they cannot be used, which is
   * logged once: what worked is not given up for half a file. Never throws.
   */
  access(): EtcdAccess;
}

export interface AccessLog {
  info(message: string): void;
  warn(message: string): void;
}

/**
 * What the files hold is compared, not their times: so it is the same whether they are written in place, renamed, or
 * swapped by a symbolic link. That is a few small reads for each call to etcd, of which a quiet daemon makes one in an
 * hour, and none while nothing is asked.
 *
 * @throws CorduroyError `host-file` naming the flag whose file cannot be used
 */
export function etcdAccess(flags: FlagValues, log: AccessLog): EtcdConnectionSettings {
  let files = readEtcdFiles(flags);
  let current = accessOf(flags, files);
  let complaint: string | undefined;
  if (files.remark !== undefined) log.warn(files.remark);
  const access = () => {
    try {
      const found = readEtcdFiles(flags, files);
      complaint = undefined;
      if (found.remark !== undefined && found.remark !== files.remark) log.warn(found.remark);
      const changed = changedFiles(files, found);
      files = found;
      if (changed.length > 0) {
        current = accessOf(flags, files);
        const names = changed.map((name) => `--${name} ${flags[name]}`).join(', ');
        log.info(`changed, and used for new connections to etcd from now on: ${names}`);
      }
    } catch (error) {
      const message = messageOf(error);
      if (message !== complaint)
        log.warn(`${message}; what was read before stays in use, and the files are tried again`);
      complaint = message;
    }
    return current;
  };
  return { endpoints: flags['etcd-endpoints'], access };
}

/** The prefix without a slash at its end. */
export function etcdPrefix(flags: FlagValues): string {
  return flags['etcd-prefix'].replace(/\/+$/, '');
}

function accessOf(flags: FlagValues, { ca, cert, key, password }: EtcdFiles): EtcdAccess {
  const secure = flags['etcd-endpoints'].every((endpoint) => endpoint.startsWith('https:'));
  const username = flags['etcd-username'];
  const secret = password ?? flags['etcd-password'];
  return {
    ...(secure ? { tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } } : {}),
    ...(username !== undefined && secret !== undefined
      ? { credentials: { username, password: secret } }
      : {}),
  };
}
