import { describe, expect, test } from 'vitest';
import { answer, challengesFolder, isAlive } from '../../../src/lease/challenge.ts';
import { DEFAULT_REQUEST_TIMEOUT_MS, DEFAULT_WATCH_BACKOFF } from '../../../src/store/etcd/options.ts';
import { Cluster, FOLDER, type Host, ME, nodeIdOf, OTHER } from './cluster.ts';
import { PREFIX } from './fixtures.ts';

/** A cluster with one machine, which holds 10.5.1.0/24. */
async function withNeighbour(neighbour: Parameters<Cluster['host']>[0]): Promise<[Cluster, Host]> {
  const cluster = await Cluster.create();
  const host = cluster.host(neighbour);
  expect(await host.subnet()).toBe('10.5.1.0/24');
  return [cluster, host];
}

async function questions(cluster: Cluster): Promise<string[]> {
  return (await cluster.store.list(challengesFolder(PREFIX))).entries.map(({ key }) => key);
}

describe('a public address that another machine publishes', () => {
  const VAGRANT = '10.0.2.15';

  test('which lives: refused, with its name and the flag to set; nothing is written', async () => {
    const [cluster, neighbour] = await withNeighbour({
      publicIp: VAGRANT,
      hostName: 'box1',
      nodeId: nodeIdOf('box1'),
    });
    const box2 = cluster.host({ publicIp: VAGRANT, hostName: 'box2', nodeId: nodeIdOf('box2') });
    const error = await box2.ensure().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'not-unique', retryable: true });
    expect(String(error)).toMatch(/10\.0\.2\.15 .*box1 \(10\.0\.2\.15\).*--iface.*--public-ip/s);
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${VAGRANT}`]);
    expect(await cluster.store.living()).toEqual([neighbour.keeper.held?.session.id]);
    expect(await questions(cluster)).toEqual([]);
    await neighbour.observe();
    expect(neighbour.log.loud).toEqual([]);
    // With the flag set, all is well.
    box2.become({ publicIp: '192.168.56.12' });
    expect(await box2.subnet()).toBe('10.5.2.0/24');
  });

  test('which is silent: another subnet, and its lease is left to expire', async () => {
    const [cluster, gone] = await withNeighbour({ publicIp: VAGRANT, nodeId: nodeIdOf('box1') });
    cluster.stop(gone);
    const before = await cluster.entry(`${FOLDER}10.5.1.0-24`);
    const box2 = cluster.host({ publicIp: VAGRANT, nodeId: nodeIdOf('box2') });
    expect(await box2.subnet()).toBe('10.5.2.0/24');
    expect(await cluster.entry(before.key)).toEqual(before);
    expect(box2.log.loud).toEqual([expect.stringMatching(/host-10\.0\.2\.15 .*does not answer/)]);
    expect(await questions(cluster)).toEqual([]);
  });

  test('it takes the address while this one runs: refused, and this one goes on', async () => {
    const [cluster, host] = await withNeighbour({});
    const other = cluster.host({ publicIp: OTHER });
    expect(await other.subnet()).toBe('10.5.2.0/24');
    other.become({ publicIp: ME });
    await expect(other.ensure()).rejects.toMatchObject({ code: 'not-unique' });
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`, `10.5.2.0-24 ${OTHER}`]);
    // It still has its subnet in use.
    expect([other.keeper.isInUse, other.keeper.subnets.join()]).toEqual([true, '10.5.2.0/24']);
    await host.observe();
    expect(host.keeper.state.name).toBe('held');
  });
});

describe('a copy of a disk: the same node id, other hardware', () => {
  const nodeId = nodeIdOf('golden image');
  const ORIGINAL = { nodeId, hardware: 'first', hostName: 'original' };
  const COPY = { nodeId, hardware: 'second', publicIp: OTHER, hostName: 'copy' };

  test('the original lives: refused, with the command that makes an id', async () => {
    const [cluster, original] = await withNeighbour(ORIGINAL);
    const before = await cluster.store.list(`${PREFIX}/`);
    const error = await cluster
      .host(COPY)
      .ensure()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'not-unique', retryable: true });
    expect(String(error)).toMatch(
      /original \(192\.0\.2\.1\).*rm -f \/etc\/machine-id.*systemd-machine-id-setup/,
    );
    expect((await cluster.store.list(`${PREFIX}/`)).entries).toEqual(before.entries);
    await original.observe();
    expect(original.keeper.state.name).toBe('held');
  });

  test('nobody answers, and the address is the same: the machine has new hardware, and takes over its lease', async () => {
    const [cluster, original] = await withNeighbour(ORIGINAL);
    cluster.stop(original);
    const host = cluster.host({ ...COPY, publicIp: ME });
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
    expect(JSON.parse((await cluster.record(host)).value)).toMatchObject({ hardware: 'second' });
  });

  test('nobody answers, and the address is another one, too: refused, with a command for either case', async () => {
    const [cluster, original] = await withNeighbour(ORIGINAL);
    cluster.stop(original);
    const host = cluster.host(COPY);
    const error = await host.ensure().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'not-unique', retryable: true });
    expect(String(error)).toMatch(/systemd-machine-id-setup.*corduroy leases revoke 10\.5\.1\.0\/24 --force/);
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
  });

  test('the same hardware and address under a new machine-id: the same machine, if nobody answers', async () => {
    const [cluster, before] = await withNeighbour(ORIGINAL);
    cluster.stop(before);
    const host = cluster.host({ ...ORIGINAL, nodeId: nodeIdOf('set up anew') });
    expect(await host.subnet()).toBe('10.5.1.0/24');
  });

  test('the same hardware: no question is asked', async () => {
    const [cluster, before] = await withNeighbour(ORIGINAL);
    cluster.stop(before);
    const now = cluster.clock.ms;
    expect(await cluster.host(ORIGINAL).subnet()).toBe('10.5.1.0/24');
    expect(cluster.clock.ms).toBe(now);
    expect(cluster.store.granted).toHaveLength(1);
  });

  test('its own network card is replaced while it runs: nobody is asked', async () => {
    const [cluster, host] = await withNeighbour(ORIGINAL);
    const now = cluster.clock.ms;
    host.become({ hardware: 'replaced' });
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(cluster.clock.ms).toBe(now);
    expect(JSON.parse((await cluster.record(host)).value)).toMatchObject({ hardware: 'replaced' });
  });
});

describe('does it live?', () => {
  const node = nodeIdOf('asked');
  const ask = (cluster: Cluster, asker: string, sleep: (milliseconds: number) => Promise<void>) =>
    isAlive({ store: cluster.store, prefix: PREFIX, asker, now: () => cluster.clock.ms, sleep }, node);

  test('two who ask at once: the end of one question is no answer to the other', async () => {
    const cluster = await Cluster.create();
    const seen = new Set<string>();
    const sleep = async (milliseconds: number) => {
      cluster.pass(milliseconds / 1000);
      for (const key of await questions(cluster)) seen.add(key);
    };
    const folder = `${challengesFolder(PREFIX)}${node}/`;
    let second: Promise<boolean> | undefined;
    const first = ask(cluster, 'one', async (milliseconds) => {
      if (cluster.clock.ms > 1000) second ??= ask(cluster, 'two', sleep);
      await sleep(milliseconds);
    });
    expect([await first, await second]).toEqual([false, false]);
    expect([...seen].sort()).toEqual([`${folder}one`, `${folder}two`]);
    // And one is answered, the other is not.
    const answered = ask(cluster, 'three', async (milliseconds) => {
      cluster.pass(milliseconds / 1000);
      await cluster.store.transaction([], [{ do: 'delete', key: `${folder}three` }]);
    });
    expect([await answered, await ask(cluster, 'four', sleep)]).toEqual([true, false]);
  });

  test('both are answered', async () => {
    const cluster = await Cluster.create();
    const sleep = async (milliseconds: number) => {
      cluster.pass(milliseconds / 1000);
      const { challenges } = await cluster.state();
      for (const question of challenges.values()) await answer(cluster.store, question);
    };
    expect(await Promise.all([ask(cluster, 'one', sleep), ask(cluster, 'two', sleep)])).toEqual([true, true]);
    expect(await questions(cluster)).toEqual([]);
  });

  test('nobody answers: within seconds, and no question or etcd lease stays behind', async () => {
    const cluster = await Cluster.create();
    expect(await ask(cluster, 'one', (milliseconds) => cluster.sleep(milliseconds))).toBe(false);
    // Longer than a broken watch may take to stand again, by the pauses of store/etcd.
    const { maxMs } = DEFAULT_WATCH_BACKOFF;
    expect(cluster.clock.ms).toBeGreaterThan(maxMs + 2 * DEFAULT_REQUEST_TIMEOUT_MS - 1000);
    expect(cluster.clock.ms).toBeLessThanOrEqual(20_000);
    expect([await questions(cluster), await cluster.store.living()]).toEqual([[], []]);
  });

  test('etcd goes away meanwhile: neither yes nor no', async () => {
    const cluster = await Cluster.create();
    const sleep = async () => cluster.store.setAvailable(false);
    await expect(ask(cluster, 'one', sleep)).rejects.toMatchObject({ code: 'store-unavailable' });
  });

  test('an asker does not answer its own question', async () => {
    const [cluster, host] = await withNeighbour({ nodeId: node, hardware: 'first' });
    // A copy of this machine wrote the record, and is gone; this one holds its lease, and asks after its own id.
    const record = await cluster.record(host);
    await cluster.put(record.key, record.value.replace('first', 'second'), record.leaseId);
    host.become({ hardware: 'third' });
    expect(await host.subnet()).toBe('10.5.1.0/24');
    expect(host.log.loud).toEqual([expect.stringMatching(/does not answer/)]);
    expect(await cluster.leases()).toEqual([`10.5.1.0-24 ${ME}`]);
  });

  test('only who holds its lease answers', async () => {
    const [cluster, host] = await withNeighbour({ nodeId: node });
    await cluster.put(`${challengesFolder(PREFIX)}${node}/somebody`, '');
    await cluster.put(`${challengesFolder(PREFIX)}${nodeIdOf('else')}/somebody`, '');
    await cluster.delete('10.5.1.0-24');
    await host.observe();
    expect(await questions(cluster)).toHaveLength(2);
    await host.ensure();
    await host.observe();
    expect(await questions(cluster)).toEqual([`${challengesFolder(PREFIX)}${nodeIdOf('else')}/somebody`]);
  });
});
