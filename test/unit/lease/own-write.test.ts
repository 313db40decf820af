import { describe, expect, test } from 'vitest';
import { Cluster, type Host, lastThenFirst, nodeIdOf } from './cluster.ts';

const NEW = '192.0.2.77';

/** A host whose address has just changed; with `pinned`, its subnet is a reservation. */
async function changed(pinned: boolean): Promise<[Cluster, Host]> {
  const cluster = await Cluster.create();
  const host = cluster.host({ random: lastThenFirst(), nodeId: nodeIdOf('m') });
  const { key } = await host.ensure();
  if (pinned) {
    await cluster.put(key, (await cluster.entry(key)).value);
    await host.observe();
    await host.ensure();
  }
  expect(await host.ensure()).toMatchObject({ reserved: pinned });
  host.log.lines.length = 0;
  host.become({ publicIp: NEW });
  return [cluster, host];
}

/** Neither a state nor a sentence of a conflict, and the same subnet throughout. */
async function expectNoQuarrel(cluster: Cluster, host: Host): Promise<void> {
  expect(host.log.lines.filter((line) => /conflict/.test(line))).toEqual([]);
  expect(host.log.loud).toEqual([]);
  expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
  expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${NEW}`]);
}

describe.each([
  ['a lease', false],
  ['a reservation', true],
])('the address of this host changes, and with it the value of %s', (_what, pinned) => {
  test('the watch shows it before the answer comes: nothing is doubted', async () => {
    const [cluster, host] = await changed(pinned);
    cluster.store.afterTransaction = async () => {
      await host.observe();
      expect(host.keeper.state.name).toBe('held');
    };
    await host.ensure();
    cluster.store.afterTransaction = undefined;
    await host.observe();
    expect(host.log.lines.filter((line) => /anew|doubt/.test(line))).toEqual([]);
    await expectNoQuarrel(cluster, host);
  });

  test('the answer never comes, and then the watch shows it: looked at anew, and held', async () => {
    const [cluster, host] = await changed(pinned);
    cluster.store.loseNextAnswer();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    await host.observe();
    expect(host.keeper.state).toMatchObject({
      name: 'at-risk',
      reason: expect.stringMatching(/this host's address/),
    });
    const { revision } = await cluster.store.list('/');
    expect(await host.subnet()).toBe('10.5.4.0/24');
    // What stands there is what should: nothing has to be written again.
    expect((await cluster.store.list('/')).revision).toBe(revision);
    await host.observe();
    await expectNoQuarrel(cluster, host);
  });

  test('the answer never comes, the watch shows it, and the address changes again', async () => {
    const [cluster, host] = await changed(pinned);
    host.become({ publicIp: '192.0.2.78' });
    cluster.store.loseNextAnswer();
    await expect(host.ensure()).rejects.toMatchObject({ code: 'store-unavailable' });
    host.become({ publicIp: NEW });
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    await expectNoQuarrel(cluster, host);
  });
});

test("another host's write during one's own is still a conflict", async () => {
  const [cluster, host] = await changed(false);
  cluster.store.afterTransaction = async () => {
    cluster.store.afterTransaction = undefined;
    await cluster.lease('10.5.4.0-24');
    await host.observe();
  };
  await host.ensure();
  await host.observe();
  expect(host.keeper.state.name).toBe('conflicted');
  expect(host.log.loud.join()).toMatch(/conflict: .*10\.5\.4\.0-24/);
  expect(await host.subnet()).not.toBe('10.5.4.0/24');
});
