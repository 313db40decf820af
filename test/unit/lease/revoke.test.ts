import { beforeEach, describe, expect, test } from 'vitest';
import { Administered } from './administered.ts';
import { FOLDER, ME, OTHER } from './cluster.ts';
import { value } from './fixtures.ts';

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'conflict', message: expect.stringMatching(message) });

let net: Administered;
beforeEach(async () => {
  net = await Administered.create();
});

describe('the lease of a host that is gone', () => {
  test('is deleted with its record, and the subnet is free', async () => {
    const before = await net.everything();
    net.cluster.stop(await net.running({ hostName: 'db1' }));
    expect(await net.revoke('10.5.1.0/24')).toMatchObject({
      action: 'revoked',
      says: 'deleted the lease of 10.5.1.0/24, which was of db1 (192.0.2.1)',
      notes: [],
    });
    // Nor is the question left.
    expect(await net.everything()).toBe(before);
    expect(await net.cluster.host({ publicIp: OTHER }).subnet()).toBe('10.5.1.0/24');
  });

  test('others keep theirs', async () => {
    net.cluster.stop(await net.running());
    const other = await net.running({ publicIp: OTHER });
    await net.revoke('10.5.1.0/24');
    await other.observe();
    expect(other.keeper.state.name).toBe('held');
    expect(await net.cluster.leases()).toEqual([`10.5.2.0-24 ${OTHER}`]);
  });

  test('a host that comes back, and finds it given to another, leases another', async () => {
    const host = await net.running();
    net.cluster.stop(host);
    await net.revoke('10.5.1.0/24');
    await net.running({ publicIp: OTHER });
    await host.observe();
    expect(await host.subnet()).toBe('10.5.2.0/24');
  });
});

describe('the lease of a host that lives', () => {
  test('is refused: the host answers', async () => {
    await net.running({ hostName: 'db1' });
    const before = await net.everything();
    await expect(net.revoke('10.5.1.0/24')).rejects.toEqual(
      refused(/leased by db1 \(192\.0\.2\.1\), which lives.*corduroy down --release, or add --force$/),
    );
    expect(await net.everything()).toBe(before);
  });

  test('goes by force, nobody being asked; the host takes it again', async () => {
    const host = await net.running({ hostName: 'db1' });
    const asked = net.cluster.clock.ms;
    const { action, notes } = await net.revoke('10.5.1.0/24', true);
    expect([action, net.cluster.clock.ms - asked]).toEqual(['revoked', 0]);
    expect(notes).toEqual([expect.stringMatching(/^db1 was not asked whether it lives/)]);
    expect(await net.cluster.leases()).toEqual([]);
    await host.observe();
    expect(host.keeper.state.name).toBe('lost');
    expect(await host.subnet()).toBe('10.5.1.0/24');
  });
});

describe('somebody else is faster', () => {
  const raced = refused(/nothing was written/);

  test.each([
    ['the key', async () => net.cluster.lease('10.5.1.0-24', value(OTHER))],
    [
      'the record',
      async () => {
        const [node] = (await net.cluster.state()).nodes.nodes();
        if (node === undefined) throw new Error('there is no record');
        await net.cluster.put(node.entry.key, node.entry.value, node.entry.leaseId);
      },
    ],
  ])('%s is written over: it stays', async (_what, write) => {
    await net.running();
    net.race(write);
    await expect(net.revoke('10.5.1.0/24', true)).rejects.toEqual(raced);
    expect(await net.cluster.leases()).toHaveLength(1);
    expect((await net.cluster.state()).nodes.nodes()).toHaveLength(1);
  });

  test('the host comes back with another address while it is asked: it keeps its lease', async () => {
    const host = await net.running();
    net.cluster.stop(host);
    const { store } = net.cluster;
    // The first transaction is the question.
    net.race(async () => {
      host.become({ publicIp: '192.0.2.77' });
      await host.ensure();
    });
    await expect(net.revoke('10.5.1.0/24')).rejects.toEqual(raced);
    expect(await store.get(`${FOLDER}10.5.1.0-24`)).toMatchObject({ value: value('192.0.2.77') });
  });

  test('no answer though it was done: again is nothing to do', async () => {
    net.cluster.stop(await net.running());
    net.cluster.store.loseNextAnswer();
    await expect(net.revoke('10.5.1.0/24', true)).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(await net.revoke('10.5.1.0/24')).toMatchObject({ action: 'nothing' });
  });
});

describe('what is no lease of a Corduroy host', () => {
  test("flanneld's cannot be asked about: by force alone", async () => {
    await net.cluster.lease('10.5.1.0-24');
    await expect(net.revoke('10.5.1.0/24')).rejects.toEqual(
      refused(/192\.0\.2\.2, a host without a node record.*cannot be asked.*add --force$/),
    );
    expect(await net.cluster.leases()).toEqual([`10.5.1.0-24 ${OTHER}`]);
    expect(await net.revoke('10.5.1.0/24', true)).toMatchObject({ action: 'revoked', notes: [] });
    expect(await net.cluster.leases()).toEqual([]);
  });

  test('a record that names a lease and hangs on another etcd lease is not its holder, and stays', async () => {
    const host = await net.running();
    net.cluster.stop(host);
    await net.cluster.lease('10.5.1.0-24', value(OTHER));
    await expect(net.revoke('10.5.1.0/24')).rejects.toEqual(refused(/without a node record/));
    await net.revoke('10.5.1.0/24', true);
    expect((await net.cluster.state()).nodes.nodes()).toHaveLength(1);
  });

  test.each([false, true])('a reservation: refused, with the command for it (force: %s)', async (force) => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    const before = await net.everything();
    await expect(net.revoke('10.5.1.0/24', force)).rejects.toEqual(
      refused(/no lease but a reservation\. End it with: corduroy leases release 10\.5\.1\.0\/24$/),
    );
    expect(await net.everything()).toBe(before);
  });

  test('a key that cannot be read: by force alone', async () => {
    await net.cluster.put(`${FOLDER}10.5.1.0-24`, '\u001b[31mrubbish');
    await expect(net.revoke('10.5.1.0/24')).rejects.toEqual(
      refused(/cannot be read.*not JSON\..*add --force$/),
    );
    await net.revoke('10.5.1.0/24', true);
    expect(await net.cluster.leases()).toEqual([]);
  });

  test('nothing at all: nothing to do; what overlaps is named', async () => {
    await net.running({ publicIp: ME });
    expect(await net.revoke('10.5.2.0/24')).toMatchObject({ action: 'nothing', notes: [] });
    expect((await net.revoke('10.5.0.0/16')).notes).toEqual([
      expect.stringMatching(/^10\.5\.1\.0\/24 overlaps it/),
    ]);
  });
});
