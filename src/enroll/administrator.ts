import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { editConfig } from '../config/edit-config-file.ts';
import { etcdAccess, etcdPrefix } from '../config/etcd.ts';
import type { FlagValues } from '../config/flags.ts';
import { resolveOptions } from '../config/options.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { type EtcdAdministration, openEtcdAdministration } from '../store/etcd/administration.ts';
import { openEtcdStore } from '../store/etcd/etcd-store.ts';
import type { Store } from '../store/store.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { FounderLayout } from './layout.ts';
import { ROOT_USER } from './users.ts';

/** What root may do in etcd, on the host where `corduroy init` was run. */
export interface Administrator {
  readonly store: Store;
  readonly administration: EtcdAdministration;
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly caFingerprint: string;
  readonly rootPassword: string;
}

export interface AdminSettings {
  readonly endpoint: string;
  /** Without a slash at its end. */
  readonly prefix: string;
  readonly password: string;
}

/** In the form of the daemon's file, so that every command takes it: `--config-file=/etc/corduroy/admin.json`. */
export function writeAdminFile(layout: FounderLayout, { endpoint, prefix, password }: AdminSettings): void {
  const settings = {
    'etcd-endpoints': [endpoint],
    'etcd-prefix': prefix,
    'etcd-cafile': layout.ca,
    // Until its users are set up, etcd lets in nobody without a certificate.
    'etcd-certfile': layout.serverCertificate,
    'etcd-keyfile': layout.serverKey,
    'etcd-username': ROOT_USER,
    'etcd-password': password,
  };
  writeAtomically(layout.adminFile, editConfig(undefined, layout.adminFile, settings), 0o600);
}

/** Root's password, where there is one already. */
export function knownRootPassword({ adminFile }: FounderLayout): string | undefined {
  return existsSync(adminFile) ? adminFlags(adminFile)['etcd-password'] : undefined;
}

/** The CA of the cluster that was founded here; `undefined`: none was. */
export function authorityOf({ adminFile, ca }: FounderLayout): X509Certificate | undefined {
  const text = existsSync(adminFile) ? readIfThere(ca) : undefined;
  return text === undefined ? undefined : new X509Certificate(text);
}

/** @throws CorduroyError `usage` where `corduroy init` has not been run */
export async function withAdministrator<T>(
  layout: FounderLayout,
  task: (administrator: Administrator) => Promise<T>,
): Promise<T> {
  const { adminFile } = layout;
  const authority = authorityOf(layout);
  if (authority === undefined) {
    throw new CorduroyError(
      'usage',
      `there is no ${adminFile}: this is done on the host where corduroy init was run`,
    );
  }
  const flags = adminFlags(adminFile);
  const access = etcdAccess(flags, SILENT);
  const store = openEtcdStore(access);
  const administration = openEtcdAdministration(access);
  try {
    return await task({
      store,
      administration,
      endpoints: flags['etcd-endpoints'],
      prefix: etcdPrefix(flags),
      caFingerprint: fingerprintOf(authority),
      rootPassword: flags['etcd-password'] ?? '',
    });
  } finally {
    administration.close();
    await store.close();
  }
}

/** Whether etcd still runs closed to everybody without a certificate of its CA, and so to all other hosts. */
export async function isClosedToOthers({ adminFile }: FounderLayout): Promise<boolean> {
  const flags = adminFlags(adminFile);
  const without = { ...flags, 'etcd-certfile': undefined, 'etcd-keyfile': undefined };
  return !(await answers(without)) && (await answers(flags));
}

async function answers(flags: FlagValues): Promise<boolean> {
  const store = openEtcdStore(etcdAccess(flags, SILENT));
  try {
    await store.get('/');
    return true;
  } catch (error) {
    return !isCode(error, 'store-unavailable'); // Whatever else it says, it speaks with us.
  } finally {
    await store.close();
  }
}

const SILENT = { info: () => undefined, warn: () => undefined };

/** Nothing of the environment: it speaks for the daemon. */
function adminFlags(adminFile: string) {
  return resolveOptions({ 'config-file': [adminFile] }, {}).flags;
}
