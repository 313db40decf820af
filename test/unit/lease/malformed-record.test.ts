import { describe, expect, test } from 'vitest';
import { Cluster, type Host, lastThenFirst, ME, nodeIdOf, OTHER } from './cluster.ts';

const MACHINE = { nodeId: nodeIdOf('m') };
const FORMS: [string, string][] = [
  ['garbage', 'garbage'],
  ['nothing', ''],
  ['null', 'null'],
  ['a list', '[]'],
  ['a form of another version', '{"v":2,"host":{"name":"m"}}'],
  ['one without its hardware', '{"hostName":"m","version":"1","lease":"10.5.4.0-24"}'],
  ['a lease that is no text', '{"hostName":"m","version":"1","lease":7,"hardware":"x"}'],
  ['more than can be read', JSON.stringify({ hostName: 'm'.repeat(5000) })],
];

/** It has its lease, etcd says so, and it says of itself what it should. */
async function expectWell(cluster: Cluster, host: Host, subnet: string): Promise<void> {
  expect(await host.subnet()).toBe(subnet);
  const lease = subnet.replace('/', '-');
  const record = await cluster.record(host);
  expect(JSON.parse(record.value)).toMatchObject({ lease, publicIP: ME, hardware: `of ${host.nodeId}` });
  expect(await cluster.leases()).toEqual([`${lease} ${ME}`]);
  await host.observe();
  expect([host.keeper.state.name, host.keeper.held?.node.modRevision]).toEqual(['held', record.modRevision]);
  expect((await cluster.state()).rejected()).toEqual([]);
}

describe.each(FORMS)("what stands as this machine's record cannot be read: %s", (_what, text) => {
  test('at the first start: a lease, and a record written anew', async () => {
    const cluster = await Cluster.create();
    const host = cluster.host({ nodeId: MACHINE.nodeId });
    await cluster.put(`/net/corduroy/nodes/${host.nodeId}`, text);
    await expectWell(cluster, host, '10.5.1.0/24');
  });

  test('at a later start: the lease it had, by its address', async () => {
    const cluster = await Cluster.create();
    const before = cluster.host({ ...MACHINE, random: lastThenFirst() });
    await before.ensure();
    const { key } = await cluster.record(before);
    cluster.stop(before);
    await cluster.put(key, text);
    await expectWell(cluster, cluster.host(MACHINE), '10.5.4.0/24');
  });

  test.each([
    ['on the etcd lease of before', true],
    ['on none', false],
  ])('while it is held, written %s: noticed, and put right', async (_how, leased) => {
    const cluster = await Cluster.create();
    const host = cluster.host({ ...MACHINE, random: lastThenFirst() });
    const { session } = await host.ensure();
    const { key } = await cluster.record(host);
    await cluster.put(key, text, leased ? session.id : undefined);
    await host.observe();
    expect(host.keeper.state.name).toBe('at-risk');
    await expectWell(cluster, host, '10.5.4.0/24');
    expect(host.keeper.moved).toBeUndefined();
    // And it ends with the lease.
    cluster.stop(host);
    cluster.pass(1_000_000);
    await expect(cluster.entry(key)).rejects.toThrow(/there is no/);
  });

  test('the others hear of it: the key is named, with a reason', async () => {
    const cluster = await Cluster.create();
    const { key } = await cluster.put(`/net/corduroy/nodes/${MACHINE.nodeId}`, text);
    const rejected = (await cluster.state()).rejected();
    expect(rejected).toEqual([
      { entry: await cluster.entry(key), reason: expect.stringMatching(/value|string/) },
    ]);
    const other = cluster.host({ publicIp: OTHER });
    expect(await other.subnet()).toBe('10.5.1.0/24');
  });
});

test('garbage that somebody writes just then is not taken for what was read: it is looked at again', async () => {
  const cluster = await Cluster.create();
  const host = cluster.host({ nodeId: MACHINE.nodeId });
  cluster.store.beforeTransaction = async () => {
    cluster.store.beforeTransaction = undefined;
    await cluster.put(`/net/corduroy/nodes/${host.nodeId}`, 'garbage');
  };
  await expectWell(cluster, host, '10.5.1.0/24');
});
