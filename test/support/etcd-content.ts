import type { StatusDocument } from '../../src/daemon/status.ts';
import { leaseName } from '../../src/lease/lease-record.ts';
import { Prefix } from '../../src/net/prefix.ts';
import type { EtcdCluster } from './etcd-cluster.ts';
import { NETWORK_PREFIX } from './lab.ts';

/** One lease as it stands in etcd. */
export interface ContentLease {
  /** In CIDR form. */
  readonly subnet: string;
  readonly publicIp: string;
}

/** What etcd holds, read with its own tool: nothing of the programs under test takes part. */
export async function etcdContent(cluster: EtcdCluster): Promise<ContentLease[]> {
  const folder = `${NETWORK_PREFIX}/subnets/`;
  const text = await cluster.etcdctl('get', '--prefix', folder, '-w', 'json', '--command-timeout', '1500ms');
  const { kvs = [] } = JSON.parse(text) as { kvs?: { key: string; value: string }[] };
  return kvs.map(({ key, value }) => {
    const name = decode(key).slice(folder.length);
    const { PublicIP } = JSON.parse(decode(value)) as { PublicIP: string };
    return { subnet: name.replace(/-(\d+)$/, '/$1'), publicIp: PublicIP };
  });
}

/**
 * How a daemon and its data plane differ from what etcd holds.
 * @returns a sentence, or `undefined` when they do not
 */
export function differenceFrom(content: readonly ContentLease[], status: StatusDocument): string | undefined {
  if (!status.etcd.connected) return 'it does not follow etcd';
  const own = status.lease?.subnets[0];
  if (own === undefined) return 'it has no lease';
  const line = ({ subnet, publicIp }: ContentLease) => `${subnet} via ${publicIp}`;
  if (!content.some((lease) => lease.subnet === own && lease.publicIp === status.interface?.publicIp))
    return `etcd does not hold its lease of ${own} with its address ${status.interface?.publicIp}`;
  const wanted = content.filter(({ subnet }) => subnet !== own).map(line);
  const known = status.peers.map(({ subnets: [subnet = ''], publicIp }) => line({ subnet, publicIp }));
  const missing = wanted.filter((one) => !known.includes(one));
  const extra = known.filter((one) => !wanted.includes(one));
  if (missing.length > 0) return `it does not know ${missing.join(', ')}`;
  if (extra.length > 0) return `it still knows ${extra.join(', ')}`;
  if (status.engine?.routes !== wanted.length)
    return `its data plane has ${status.engine?.routes ?? 'no'} routes, not ${wanted.length}`;
  return undefined;
}

/** The key of a subnet in etcd. */
export function contentKey(subnet: string): string {
  return `${NETWORK_PREFIX}/subnets/${leaseName([Prefix.parse(subnet)])}`;
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
