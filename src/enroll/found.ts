import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { CorduroyError, isCode } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { isClosedToOthers, knownRootPassword, withAdministrator, writeAdminFile } from './administrator.ts';
import {
  ensureAuthority,
  issueServerCertificate,
  type Owner,
  type ServerNames,
  serverCertificateFits,
} from './certificates.ts';
import { etcdConfig, etcdUrl } from './etcd-config.ts';
import type { FounderLayout } from './layout.ts';
import { newSecret } from './token.ts';
import { establishUsers, HOST_USER } from './users.ts';

/** What `corduroy init` makes of a host, as far as it is files and etcd. */
export interface Founding extends ServerNames {
  readonly layout: FounderLayout;
  readonly port: number;
  /** Of the network, without a slash at its end. */
  readonly prefix: string;
  /** Issue another certificate for etcd, good or not. */
  readonly renew: boolean;
  /** Who etcd runs as. */
  readonly owner: Owner | undefined;
  readonly say: (line: string) => void;
}

/** How etcd is started and stopped. */
export interface EtcdService {
  /** Resolves when it answers. @returns false where somebody else has to start it */
  ensureRuns(configChanged: boolean): Promise<boolean>;
  /** Its configuration has changed. */
  restart(): Promise<void>;
}

/** etcd's configuration as it stands there. */
interface Stage {
  /** It has users, and lets others in. */
  readonly established: boolean;
  readonly configChanged: boolean;
}

/**
 * Makes CA, certificate and passwords, starts etcd closed to everybody but this host's root, sets up its users, and only
 * then lets others in. What is there already is kept: it may be repeated, also after it was interrupted anywhere.
 *
 * @returns whether etcd stands; false where somebody has to start it first
 */
export async function foundEtcd(founding: Founding, service: EtcdService): Promise<boolean> {
  const { layout, say } = founding;
  const { established, configChanged } = await prepareFiles(founding);
  const { password, fresh } = hostPassword(layout);
  if (!(await service.ensureRuns(configChanged))) return false;
  if (!established) {
    say("setting up etcd's users");
    await establish(layout, password);
    writeAtomically(layout.etcdConfig, etcdConfig(layout, { ...founding, closed: false }), 0o644);
    await service.restart();
    return true;
  }
  // Interrupted here before, the configuration is not yet that of the etcd that runs.
  if (await isClosedToOthers(layout)) await service.restart();
  if (fresh)
    await withAdministrator(layout, ({ administration }) => administration.setPassword(HOST_USER, password));
  return true;
}

async function prepareFiles(founding: Founding): Promise<Stage> {
  const { layout, address, renew, owner, say } = founding;
  for (const path of [layout.etcdConfig, layout.serverKey, layout.etcdData]) openFolder(dirname(path));
  const authority = await ensureAuthority(layout);
  if (renew || !serverCertificateFits(layout, authority, address)) {
    say(`issuing a certificate for etcd at ${address}`);
    await issueServerCertificate(layout, founding, owner);
  }
  const password = knownRootPassword(layout) ?? newSecret();
  writeAdminFile(layout, { endpoint: etcdUrl(founding), prefix: founding.prefix, password });
  const before = readIfThere(layout.etcdConfig);
  const established = before !== undefined && !isClosed(before);
  const { written } = writeAtomically(
    layout.etcdConfig,
    etcdConfig(layout, { ...founding, closed: !established }),
    0o644,
  );
  return { established, configChanged: before !== undefined && written };
}

/** etcd is not root, and has to get at its files. What is secret among them has a mode of its own. */
function openFolder(path: string): void {
  mkdirSync(path, { recursive: true });
  const { mode } = statSync(path);
  // Of a root with a strict umask, say.
  if ((mode & 0o055) !== 0o055) chmodSync(path, (mode & 0o7777) | 0o055);
}

function isClosed(config: string): boolean {
  return config.includes('client-cert-auth: true');
}

/** The password of the cluster's hosts. Written before etcd has it, so that it is never lost. */
function hostPassword({ passwordFile }: FounderLayout): { password: string; fresh: boolean } {
  const known = readIfThere(passwordFile)?.trim();
  const password = known ?? newSecret();
  writeAtomically(passwordFile, `${password}\n`, 0o600);
  return { password, fresh: known === undefined };
}

async function establish(layout: FounderLayout, password: string): Promise<void> {
  try {
    await withAdministrator(layout, ({ administration, prefix, rootPassword }) =>
      establishUsers(administration, { prefix, rootPassword, hostPassword: password }),
    );
  } catch (error) {
    if (!isCode(error, 'store-denied')) throw error;
    throw new CorduroyError(
      'foreign-object',
      `${layout.etcdData} holds the data of an earlier etcd, whose administrator's password is not in ` +
        `${layout.adminFile}: put that file back, or begin anew: stop corduroy-etcd, and move ${layout.etcdData} away`,
      { cause: error },
    );
  }
}
