import { expect, test } from 'vitest';
import { engineStatus, peerStatus } from '../../../src/daemon/status-report.ts';
import type { EngineStats } from '../../../src/datapath/datapath.ts';
import { noDrops } from '../../../src/datapath/messages.ts';
import { Cluster } from '../../../src/lease/cluster.ts';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { nodeKey } from '../../../src/lease/node-record.ts';
import { Ip } from '../../../src/net/ip.ts';
import { nodeIdOf } from '../lease/cluster.ts';
import { attributes, entry, PREFIX, value } from '../lease/fixtures.ts';

const TRAFFIC = { sentPackets: 1n, sentBytes: 2n, receivedPackets: 3n, receivedBytes: 4n };
const STATS: EngineStats = {
  generation: 1n,
  routes: 2,
  drops: { ...noDrops(), 'out-path-mtu': 5n },
  offloads: [{ offload: 'tun-tso', state: 'off', reason: 'not asked for' }],
  peers: [
    { address: Ip.parse('192.0.2.2'), ...TRAFFIC, pathMtu: 0, noSegment: '' },
    { address: Ip.parse('192.0.2.3'), ...TRAFFIC, pathMtu: 1372, noSegment: 'EIO' },
  ],
};

const NODE =
  '{"hostName":"h2","version":"0.9.0","capabilities":[],"lease":"10.5.2.0-24","publicIP":"192.0.2.2","hardware":"x"}';

test('the engine: what it saves work with, and what it dropped', () => {
  const hello = { engine: 'native', build: '0.1.0', pid: 42, config: undefined };
  expect(engineStatus({ hello }, STATS, true, 'no-such-device')).toEqual({
    name: 'native',
    build: '0.1.0',
    pid: 42,
    routes: 2,
    ready: true,
    offloads: [{ offload: 'tun-tso', state: 'off', reason: 'not asked for' }],
    drops: { 'out-path-mtu': 5 },
  });
});

test('a peer: its path is spoken of when it takes less than it could', () => {
  const table = new LeaseTable(PREFIX, [
    entry('10.5.2.0-24', value('192.0.2.2')),
    entry('10.5.3.0-24', value('192.0.2.3')),
    entry('10.5.4.0-24', value('192.0.2.4')),
  ]);
  const [best, less, unknown] = table.leases().map((lease) => {
    const { publicIp } = lease.attributes;
    const traffic = STATS.peers.find(({ address }) => publicIp?.equals(address));
    return peerStatus(lease, traffic, undefined, false);
  });
  expect(best).toMatchObject({ sentPackets: 1, receivedBytes: 4 });
  expect(Object.keys(best ?? {})).not.toContain('pathMtu');
  expect(Object.keys(best ?? {})).not.toContain('noSegment');
  expect(less).toMatchObject({ pathMtu: 1372, noSegment: 'EIO' });
  expect(unknown).toMatchObject({ sentPackets: 0, receivedPackets: 0 });
});

test('a peer with two addresses: the one that the engine sends to, and whether it sends at all', () => {
  const lease = new LeaseTable(PREFIX, [
    entry('10.5.2.0-24', formatLeaseValue(attributes('192.0.2.2', '2001:db8::2'))),
  ]);
  const [peer] = lease.leases();
  if (peer === undefined) throw new Error('no lease');
  const traffic = { address: Ip.parse('2001:db8::2'), ...TRAFFIC, pathMtu: 0, noSegment: '' };
  expect(peerStatus(peer, traffic, undefined, false)).toMatchObject({
    publicIp: '2001:db8::2',
    path: 'encapsulated',
  });
  expect(peerStatus(peer, undefined, undefined, true)).toMatchObject({
    publicIp: '192.0.2.2',
    path: 'direct',
  });
});

test("a peer's name and version are what its record says; a flanneld has none", () => {
  const cluster = new Cluster(PREFIX, [
    entry('10.5.2.0-24', value('192.0.2.2')),
    { ...entry('', NODE), key: nodeKey(PREFIX, nodeIdOf('h2')) },
    entry('10.5.3.0-24', value('192.0.2.3'), 2, '8'),
  ]);
  const [named, flanneld] = cluster.leases
    .leases()
    .map((lease) => peerStatus(lease, undefined, cluster.nodes.holderOf(lease), false));
  expect(named).toMatchObject({ name: 'h2', version: '0.9.0', publicIp: '192.0.2.2' });
  expect(Object.keys(flanneld ?? {})).not.toContain('name');
  expect(Object.keys(flanneld ?? {})).not.toContain('version');
});
