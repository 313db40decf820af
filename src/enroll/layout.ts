import { dirname, join } from 'node:path';

/** The files by which a host belongs to a cluster. */
export interface HostLayout {
  /** The daemon's configuration file. */
  readonly configFile: string;
  /** Of the user that hosts log in to etcd as. */
  readonly passwordFile: string;
  /** The certificate of etcd's CA. */
  readonly ca: string;
}

/** And those of the host that runs etcd. */
export interface FounderLayout extends HostLayout {
  readonly pkiFolder: string;
  readonly caKey: string;
  /** What etcd shows: its certificate, and after it the CA's, for joiners to compare. */
  readonly serverCertificate: string;
  readonly serverKey: string;
  readonly etcdConfig: string;
  readonly etcdData: string;
  /** Settings of an administrator, for `--config-file`: root's password is in it. */
  readonly adminFile: string;
}

/** @param instance part of each name, where several daemons of one host may be in different clusters */
export function hostLayout(configFile: string, instance: string): HostLayout {
  const folder = dirname(configFile);
  const suffix = instance === '' ? '' : `-${instance}`;
  return {
    configFile,
    passwordFile: join(folder, `etcd-password${suffix}`),
    ca: join(folder, 'pki', `ca${suffix}.pem`),
  };
}

export function founderLayout(configFile: string, stateDir: string): FounderLayout {
  const folder = dirname(configFile);
  const pkiFolder = join(folder, 'pki');
  return {
    ...hostLayout(configFile, ''),
    pkiFolder,
    caKey: join(pkiFolder, 'ca.key'),
    serverCertificate: join(pkiFolder, 'etcd.pem'),
    serverKey: join(pkiFolder, 'etcd.key'),
    etcdConfig: join(folder, 'etcd.yaml'),
    etcdData: join(stateDir, 'etcd'),
    adminFile: join(folder, 'admin.json'),
  };
}
