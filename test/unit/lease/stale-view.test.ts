import { describe, expect, test } from 'vitest';
import { Cluster, FOLDER, type Host, lastThenFirst, ME, nodeIdOf, OTHER } from './cluster.ts';
import { PREFIX, value } from './fixtures.ts';

/** What a host goes by is what its watch has shown: others may have written since. */
async function behind(
  before: (cluster: Cluster, host: Host) => Promise<unknown>,
  since: (cluster: Cluster, host: Host) => Promise<unknown>,
): Promise<{ cluster: Cluster; host: Host; subnet: string }> {
  const cluster = await Cluster.create();
  const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
  await before(cluster, host);
  await host.observe();
  await since(cluster, host);
  const { subnets } = await host.ensure(host.seen);
  return { cluster, host, subnet: subnets.join(' ') };
}

const holdsLast = async (_: Cluster, host: Host) => host.ensure();

describe('what was seen of etcd is behind what stands there', () => {
  test('the free subnet has been leased: the next one, in the same try, and the other keeps his', async () => {
    const { cluster, subnet } = await behind(
      async () => undefined,
      (cluster) => cluster.lease('10.5.4.0-24'),
    );
    expect(subnet).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`, `10.5.4.0-24 ${OTHER}`]);
  });

  test("a lease with this host's address has become another's: left alone", async () => {
    const { cluster, subnet } = await behind(
      (cluster) => cluster.lease('10.5.2.0-24', value(ME)),
      (cluster) => cluster.lease('10.5.2.0-24'),
    );
    expect(subnet).not.toBe('10.5.2.0/24');
    expect(await cluster.leases()).toContain(`10.5.2.0-24 ${OTHER}`);
  });

  test('one that fits no more has, too: it is not deleted', async () => {
    const { cluster, subnet } = await behind(
      (cluster) => cluster.lease('10.5.9.0-24', value(ME)),
      (cluster) => cluster.lease('10.5.9.0-24'),
    );
    expect(subnet).not.toBe('10.5.9.0/24');
    expect(await cluster.leases()).toEqual([expect.stringContaining(ME), `10.5.9.0-24 ${OTHER}`]);
  });

  test("the key was spoilt, and has become another's: not put right, but left to that other", async () => {
    const { cluster, host, subnet } = await behind(
      async (cluster, host) => {
        await host.ensure();
        await cluster.reserve('10.5.4.0-24', 'garbage');
      },
      (cluster) => cluster.lease('10.5.4.0-24'),
    );
    expect(subnet).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`, `10.5.4.0-24 ${OTHER}`]);
    expect(host.keeper.moved).toContain('10.5.4.0/24');
  });

  test.each<[string, (cluster: Cluster, host: Host) => Promise<unknown>]>([
    ['its lease is gone', (cluster) => cluster.delete('10.5.4.0-24')],
    ['its key is garbage', (cluster) => cluster.reserve('10.5.4.0-24', 'garbage')],
    [
      'its record is garbage',
      (cluster, { nodeId }) => cluster.put(`${PREFIX}/corduroy/nodes/${nodeId}`, 'garbage'),
    ],
    ['all of its has expired', async (cluster) => cluster.pass(100_000)],
  ])('%s, and its address changes: the same subnet, in the same try', async (_what, happens) => {
    const { cluster, host, subnet } = await behind(holdsLast, async (cluster, host) => {
      await happens(cluster, host);
      host.become({ publicIp: '192.0.2.77' });
    });
    expect(subnet).toBe('10.5.4.0/24');
    await host.observe();
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
    expect(await cluster.leases()).toEqual(['10.5.4.0-24 192.0.2.77']);
  });

  test('what was seen is what stands there: nothing is read again', async () => {
    const cluster = await Cluster.create();
    await cluster.lease('10.5.4.0-24');
    const host = cluster.host();
    await host.observe();
    let reads = 0;
    const { list } = cluster.store;
    cluster.store.list = async (prefix) => {
      reads++;
      return list.call(cluster.store, prefix);
    };
    await host.ensure(host.seen);
    expect([reads, host.keeper.held?.key]).toEqual([0, `${FOLDER}10.5.1.0-24`]);
  });
});
