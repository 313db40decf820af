import { expect, test } from 'vitest';
import { mayFollow } from '../../../src/host/ipv6-forwarding.ts';
import type { LinkRecord } from '../../../src/host/observe.ts';

const link = (ifname: string, kind?: string): LinkRecord => ({
  ifname,
  flags: ifname === 'lo' ? ['LOOPBACK', 'UP'] : ['UP'],
  mtu: 1500,
  ...(kind !== undefined && { linkinfo: { info_kind: kind } }),
});
const LINKS = [
  link('lo'),
  link('eth0'),
  link('bond0.5', 'vlan'),
  link('docker0', 'bridge'),
  link('vmbr0', 'bridge'),
];

test('a router may be behind every interface but a bridge of containers', () => {
  expect(mayFollow(LINKS, [])).toEqual(['eth0', 'bond0.5']);
});

test('a bridge that the host has its default route by is no bridge of containers', () => {
  expect(mayFollow(LINKS, ['vmbr0'])).toEqual(['eth0', 'bond0.5', 'vmbr0']);
});
