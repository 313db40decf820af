import { expect, test } from 'vitest';
import { formatRoute } from '../../../src/host/state.ts';
import { DUAL_IFACE } from '../backend/fixtures.ts';
import { CONFIG_KEY, PREFIX } from '../lease/fixtures.ts';
import { LoneHost, until } from './lone-host.ts';

const NETWORK = { Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:5::/48' };
const hostGw = (publicIp: string, publicIpv6: string) =>
  JSON.stringify({ PublicIP: publicIp, PublicIPv6: publicIpv6, BackendType: 'host-gw' });

test('who cannot be reached is named and no peer; who can in one family is a peer, and the other family is named', async () => {
  const host = await LoneHost.create();
  host.iface = DUAL_IFACE;
  await host.put(CONFIG_KEY, JSON.stringify({ ...NETWORK, Backend: { Type: 'host-gw' } }));
  const names = [
    '10.5.20.0-24&fd00:5:0:20::-64',
    '10.5.21.0-24&fd00:5:0:21::-64',
    '10.5.22.0-24&fd00:5:0:22::-64',
  ];
  const values = [
    hostGw('192.0.2.20', '2001:db8::20'),
    hostGw('192.0.2.21', '2001:db8:9::21'),
    hostGw('203.0.113.22', '2001:db8:9::22'),
  ];
  for (const [at, name] of names.entries()) await host.put(`${PREFIX}/subnets/${name}`, values[at] ?? '');
  const { daemon, log } = host.start();
  await until(() => daemon.ready);
  expect(daemon.peers.map(({ entry }) => entry.key.split('/').at(-1))).toEqual(names.slice(0, 2));
  expect(daemon.rejected.current.map(({ entry, reason }) => [entry.key.split('/').at(-1), reason])).toEqual([
    [names[2], expect.stringMatching(/^its public address 203\.0\.113\.22 is not on the link/)],
    [names[1], expect.stringMatching(/^in part: its public address 2001:db8:9::21 is not on the link/)],
  ]);
  expect(log.lines.filter((line) => line.includes(names[1] ?? ''))).toHaveLength(1);
  expect(host.wishes.at(-1)?.host.routes.map(formatRoute)).toEqual([
    '10.5.20.0/24 via 192.0.2.20 dev eth0',
    'fd00:5:0:20::/64 via 2001:db8::20 dev eth0',
    '10.5.21.0/24 via 192.0.2.21 dev eth0',
  ]);
  expect(daemon.needsEngine).toBe(false);
});
