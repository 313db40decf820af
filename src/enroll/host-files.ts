import { X509Certificate } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { editConfig } from '../config/edit-config-file.ts';
import { FLAGS, type FlagName, type FlagValues } from '../config/flags.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { rewriteFile } from '../host/rewrite-file.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { HostLayout } from './layout.ts';

/** What a host needs to take part in a cluster. */
export interface Enrolment {
  /** PEM. */
  readonly ca: string;
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly username: string;
  readonly password: string;
  /** The address that the host's traffic shall go by, where somebody has said so. */
  readonly iface?: string | undefined;
}

/**
 * Writes the CA, the password, and into the daemon's configuration file how to reach etcd; what else is there stays.
 * Masquerading is switched on unless the file says otherwise: without it a container's packets to the world go out with
 * an address that nobody answers to, and Docker would masquerade those to other hosts' containers, too.
 */
export function writeHostFiles(layout: HostLayout, enrolment: Enrolment): void {
  const { configFile, passwordFile, ca } = layout;
  mkdirSync(dirname(ca), { recursive: true, mode: 0o755 });
  writeAtomically(ca, enrolment.ca, 0o644);
  writeAtomically(passwordFile, `${enrolment.password}\n`, 0o600);
  const text = readIfThere(configFile);
  const settings = editConfig(text, configFile, {
    'etcd-endpoints': [...enrolment.endpoints],
    'etcd-prefix': enrolment.prefix === FLAGS['etcd-prefix'].default ? undefined : enrolment.prefix,
    'etcd-cafile': ca,
    'etcd-certfile': undefined,
    'etcd-keyfile': undefined,
    'etcd-username': enrolment.username,
    'etcd-password': undefined,
    'etcd-password-file': passwordFile,
    ...(enrolment.iface === undefined ? {} : { iface: [enrolment.iface] }),
    ...(hasSetting(text, 'ip-masq') ? {} : { 'ip-masq': true }),
  });
  rewriteFile(configFile, settings);
}

/** Which cluster a host is in, by its settings. */
export type Membership =
  | { readonly in: 'none' }
  | { readonly in: 'same' }
  | { readonly in: 'other'; readonly endpoints: readonly string[] };

/** @param caFingerprint of the cluster in question */
export function membershipOf(
  { configFile }: HostLayout,
  flags: Pick<FlagValues, 'etcd-endpoints' | 'etcd-cafile'>,
  caFingerprint: string | undefined,
): Membership {
  if (!hasSetting(readIfThere(configFile), 'etcd-endpoints')) return { in: 'none' };
  const ca = flags['etcd-cafile'] === undefined ? undefined : readIfThere(flags['etcd-cafile']);
  const same = ca !== undefined && caFingerprint !== undefined && fingerprintIn(ca) === caFingerprint;
  return same ? { in: 'same' } : { in: 'other', endpoints: flags['etcd-endpoints'] };
}

function fingerprintIn(pem: string): string | undefined {
  try {
    return fingerprintOf(new X509Certificate(pem));
  } catch {
    return undefined; // Whatever it is, it is no certificate of this cluster.
  }
}

/**
 * The file has been read as the daemon's settings before: it is JSON.
 * @param value absent: any
 */
export function hasSetting(text: string | undefined, name: FlagName, value?: unknown): boolean {
  if (text === undefined) return false;
  const settings = JSON.parse(text) as Partial<Record<FlagName, unknown>>;
  return Object.hasOwn(settings, name) && (value === undefined || settings[name] === value);
}
