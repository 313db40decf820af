import { parseNetworkConfig, type SubnetRange } from '../../../src/config/network-config.ts';
import { formatLeaseValue, type LeaseAttributes } from '../../../src/lease/lease-record.ts';
import { Ip } from '../../../src/net/ip.ts';
import type { Entry, LeaseId } from '../../../src/store/store.ts';

export const PREFIX = '/net';
export const CONFIG_KEY = `${PREFIX}/config`;

export function rangesOf(document: object): readonly SubnetRange[] {
  const { value } = parseNetworkConfig(JSON.stringify(document));
  if (value === undefined) throw new Error('the network config of this test is not valid');
  return value.ranges;
}

/** 10.5.1.0 to 10.5.4.0: room for four. */
export const FOUR = rangesOf({ Network: '10.5.0.0/16', SubnetMax: '10.5.4.0' });
export const DUAL = rangesOf({ Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/48' });

export function attributes(publicIp: string, publicIpv6?: string): LeaseAttributes {
  return {
    publicIp: Ip.parse(publicIp),
    publicIpv6: publicIpv6 === undefined ? undefined : Ip.parse(publicIpv6),
  };
}

export const value = (publicIp: string): string => formatLeaseValue(attributes(publicIp));

/** A key under `subnets/` as a store would give it. @param revision of its creation and last write */
export function entry(name: string, content: string, revision = 1, leaseId: string | null = '7'): Entry {
  return {
    key: `${PREFIX}/subnets/${name}`,
    value: content,
    createRevision: BigInt(revision),
    modRevision: BigInt(revision),
    leaseId: leaseId === null ? undefined : (leaseId as LeaseId),
  };
}
