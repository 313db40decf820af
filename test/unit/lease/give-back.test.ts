import { describe, expect, test } from 'vitest';
import { CorduroyError } from '../../../src/errors.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { LeaseId } from '../../../src/store/store.ts';
import { Cluster, FOLDER, type Host, lastThenFirst, ME } from './cluster.ts';
import { value } from './fixtures.ts';

async function held(): Promise<[Cluster, Host]> {
  const cluster = await Cluster.create();
  const host = cluster.host({ random: lastThenFirst() });
  await host.ensure();
  return [cluster, host];
}

const everything = async ({ store }: Cluster) => (await store.list('/')).entries;

describe('etcd does not confirm what this host uses: nothing is given back', () => {
  test.each<[string, string, (cluster: Cluster, host: Host) => Promise<unknown>]>([
    [
      'at-risk',
      'its record is gone',
      async (cluster, host) => {
        const { key } = await cluster.record(host);
        await cluster.store.transaction([], [{ do: 'delete', key }]);
      },
    ],
    ['lost', 'its key is gone', (cluster) => cluster.delete('10.5.4.0-24')],
    ['conflicted', "its key is another's", (cluster) => cluster.lease('10.5.4.0-24')],
    [
      'at-risk',
      'its key was written over with its address',
      (cluster) => cluster.lease('10.5.4.0-24', value(ME)),
    ],
  ])('%s: %s', async (state, _why, happens) => {
    const [cluster, host] = await held();
    await happens(cluster, host);
    await host.observe();
    const before = await everything(cluster);
    const { reason } = host.keeper.state;
    const error = await host.keeper.release().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'conflict', retryable: true });
    expect(String(error)).toContain(`the lease is ${state}, and cannot be given back: ${reason}`);
    expect(await everything(cluster)).toEqual(before);
    expect([host.keeper.state.name, host.keeper.isInUse, host.keeper.subnets.join()]).toEqual([
      state,
      true,
      '10.5.4.0/24',
    ]);
    // Once it is confirmed, it can be.
    await host.ensure();
    await host.keeper.release();
    expect((await everything(cluster)).filter(({ value: text }) => text.includes(ME))).toEqual([]);
  });

  test('remembered from before the start', async () => {
    const [cluster, before] = await held();
    cluster.stop(before);
    const host = cluster.host();
    host.keeper.recall([Prefix.parse('10.5.4.0/24')]);
    host.keeper.remember();
    const standing = await everything(cluster);
    await expect(host.keeper.release()).rejects.toMatchObject({ code: 'conflict' });
    expect(await everything(cluster)).toEqual(standing);
    expect(await host.subnet()).toBe('10.5.4.0/24');
  });

  test('known from before the start, and not taken up yet: nobody may be told that it was given back', async () => {
    const [cluster, before] = await held();
    cluster.stop(before);
    const host = cluster.host({ previous: ['10.5.4.0/24'] });
    const standing = await everything(cluster);
    await expect(host.keeper.release()).rejects.toMatchObject({
      code: 'conflict',
      retryable: true,
      message: expect.stringMatching(/has not taken up the lease of its subnet 10\.5\.4\.0\/24 yet/),
    });
    expect(await everything(cluster)).toEqual(standing);
    await host.ensure();
    await host.keeper.release();
    expect((await everything(cluster)).filter(({ value: text }) => text.includes(ME))).toEqual([]);
    await host.keeper.release();
  });

  test('a host that has had no subnet has nothing to give back, and that is no error', async () => {
    const [cluster, other] = await held();
    const standing = await everything(cluster);
    const host = cluster.host({ publicIp: '192.0.2.9' });
    await host.keeper.release();
    expect(await everything(cluster)).toEqual(standing);
    expect([host.keeper.state.name, other.keeper.state.name]).toEqual(['acquiring', 'held']);
  });
});

describe('the answer is lost', () => {
  /** The next revocation is carried out, or is not, and is not answered. */
  function loseRevocation({ store }: Cluster, isCarriedOut: boolean): void {
    const { revokeLease } = store;
    store.revokeLease = async (id: LeaseId) => {
      store.revokeLease = revokeLease;
      if (isCarriedOut) await store.revokeLease(id);
      throw new CorduroyError('store-unavailable', 'the answer was lost by a test', { retryable: true });
    };
  }

  test.each([
    ['it was given back', true],
    ['it was not', false],
  ])('%s: in doubt, looked at anew, and the same subnet is held', async (_what, isCarriedOut) => {
    const [cluster, host] = await held();
    loseRevocation(cluster, isCarriedOut);
    await expect(host.keeper.release()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(host.keeper.state).toMatchObject({
      name: 'at-risk',
      reason: expect.stringMatching(/^it may have been given back: the answer was lost/),
    });
    expect([host.keeper.isInUse, host.keeper.held, host.dueAt]).toEqual([
      true,
      undefined,
      Number.NEGATIVE_INFINITY,
    ]);
    expect(await cluster.leases()).toEqual(isCarriedOut ? [] : [`10.5.4.0-24 ${ME}`]);
    await host.observe();
    expect(await host.subnet()).toBe('10.5.4.0/24');
    expect([host.keeper.state.name, host.keeper.moved]).toEqual(['held', undefined]);
    expect(await cluster.leases()).toEqual([`10.5.4.0-24 ${ME}`]);
    expect(await cluster.store.living()).toEqual([host.keeper.held?.session.id]);
    await host.keeper.release();
    expect(await cluster.leases()).toEqual([]);
  });
});

describe('a pinned reservation', () => {
  test('stays as it was, and the record goes', async () => {
    const [cluster, host] = await held();
    const pinned = await cluster.put(`${FOLDER}10.5.4.0-24`, value(ME));
    await host.observe();
    expect(await host.ensure()).toMatchObject({ reserved: true });
    await host.keeper.release();
    expect(await cluster.entry(pinned.key)).toEqual(pinned);
    await expect(cluster.record(host)).rejects.toThrow(/there is no/);
    expect(await cluster.store.living()).toEqual([]);
    expect([host.keeper.state.name, host.log.lines.at(-1)]).toEqual([
      'acquiring',
      expect.stringMatching(/^info: kept the reservation of 10\.5\.4\.0\/24/),
    ]);
    await host.observe();
    expect(host.log.loud).toEqual([]);
    expect(await host.subnet()).toBe('10.5.4.0/24');
  });
});
