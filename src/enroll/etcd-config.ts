import type { FounderLayout } from './layout.ts';

export interface EtcdSettings {
  /** At which the other hosts reach it. */
  readonly address: string;
  readonly port: number;
  /**
   * Whether only the holder of a certificate of the CA, and so nobody but root on this host, is let in: until there
   * are users, etcd lets everybody do everything.
   */
  readonly closed: boolean;
}

export const ETCD_PORT = 2379;

export function etcdUrl({ address, port }: Pick<EtcdSettings, 'address' | 'port'>): string {
  return `https://${address}:${port}`;
}

/**
 * The configuration file of etcd, a cluster of one member.
 *
 * The one member talks to itself through a Unix socket in its working directory, which etcd names by the "host and port"
 * of the URL: a TCP port would have to be guarded, for whoever reaches it writes past all users and roles.
 */
export function etcdConfig(layout: FounderLayout, settings: EtcdSettings): string {
  const { ca, serverCertificate, serverKey, etcdData } = layout;
  const url = etcdUrl(settings);
  return [
    '# Written by corduroy init, for corduroy-etcd.service. See docs/init-join.md.',
    'name: corduroy',
    `data-dir: ${JSON.stringify(etcdData)}`,
    `listen-client-urls: ${url}`,
    `advertise-client-urls: ${url}`,
    `listen-peer-urls: ${PEER}`,
    `initial-advertise-peer-urls: ${PEER}`,
    `initial-cluster: corduroy=${PEER}`,
    'client-transport-security:',
    `  cert-file: ${JSON.stringify(serverCertificate)}`,
    `  key-file: ${JSON.stringify(serverKey)}`,
    ...(settings.closed ? ['  client-cert-auth: true', `  trusted-ca-file: ${JSON.stringify(ca)}`] : []),
    'enable-grpc-gateway: false',
    '# Without this etcd keeps every version of every key, until it is full.',
    'auto-compaction-mode: periodic',
    'auto-compaction-retention: 1h',
    'quota-backend-bytes: 2147483648',
    'logger: zap',
    'log-level: warn',
    'log-outputs: [stderr]',
    '',
  ].join('\n');
}

const PEER = 'unix://peer:0';

/** The address in a configuration of ours. */
export function addressIn(config: string): { readonly address: string; readonly port: number } | undefined {
  const [, address, port] = /^advertise-client-urls: https:\/\/(.+):(\d+)$/m.exec(config) ?? [];
  return address === undefined ? undefined : { address, port: Number(port) };
}
