import { describe, expect, test } from 'vitest';
import { nodeKey } from '../../../src/lease/node-record.ts';
import { nodeIdOf } from '../lease/cluster.ts';
import { PREFIX, value } from '../lease/fixtures.ts';
import { ADDRESS, interfaceAt, LoneHost, type Running, until } from './lone-host.ts';

const NEW = '192.0.2.77';
const OWN = `${PREFIX}/subnets/10.5.1.0-24`;
const B = '10.5.2.0/24 192.0.2.2:8285';

async function running(): Promise<[LoneHost, Running]> {
  const host = await LoneHost.create();
  await host.lease('10.5.2.0-24', '192.0.2.2');
  const one = host.start();
  await until(() => one.isHeld && host.engine?.routes.length === 1);
  expect(one.subnet).toBe('10.5.1.0/24');
  return [host, one];
}

const published = async ({ store }: LoneHost, key = OWN) =>
  (await store.elsewhere(() => store.get(key)))?.value;

test('a changed address is published, in lease and record at once, and the data plane follows', async () => {
  const [host, { daemon }] = await running();
  host.iface = interfaceAt(NEW);
  daemon.hint('interface');
  await until(async () => (await published(host)) === value(NEW));
  const [lease, record] = [
    await host.store.get(OWN),
    await host.store.get(nodeKey(PREFIX, nodeIdOf('this'))),
  ];
  expect(record).toMatchObject({ modRevision: lease?.modRevision, leaseId: lease?.leaseId });
  expect(JSON.parse(record?.value ?? '')).toMatchObject({ publicIP: NEW, lease: '10.5.1.0-24' });
  await until(
    () => host.engine?.config?.listen.address.toString() === NEW && host.engine.routes.length === 1,
  );
  expect([host.subnetsInTurn, daemon.leases.moved]).toEqual([['10.5.1.0/24'], undefined]);
  await until(() => daemon.ready);
  expect(daemon.problems).toEqual([]);
});

test('a changed address is used at once while etcd is away, and published when it is back', async () => {
  const [host, { daemon }] = await running();
  host.store.setAvailable(false);
  host.iface = interfaceAt(NEW);
  daemon.hint('interface');
  await until(() => host.engine?.config?.listen.address.toString() === NEW);
  host.store.setAvailable(true);
  await until(async () => (await published(host)) === value(NEW), 5000);
});

describe('an etcd that takes questions and never answers', () => {
  /** The lease is gone, and the daemon has asked for it again. */
  async function hanging(): Promise<[LoneHost, Running]> {
    const [host, one] = await running();
    host.store.silent = true;
    await host.delete('10.5.1.0-24');
    await until(() => one.daemon.leases.state.name === 'lost');
    return [host, one];
  }

  test('does not hold up the repair of the host', async () => {
    const [host, { daemon }] = await hanging();
    const before = host.wishes.length;
    daemon.hint('host');
    await until(() => host.wishes.length > before, 1000);
    expect(host.subnetsInTurn).toEqual(['10.5.1.0/24']);
  });

  test('nor the restart of a data plane that has ended', async () => {
    const [host, one] = await hanging();
    host.engine?.end();
    await until(() => host.launches === 2 && host.engine?.routes.join() === B, 1500);
    expect(one.daemon.problems.join()).toMatch(/the lease is lost: .*was deleted/);
  });

  test('nor a peer that the watch still tells of', async () => {
    const [host] = await hanging();
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => host.engine?.routes.length === 2, 1000);
  });

  test('nor the end of the daemon', async () => {
    const [, one] = await hanging();
    const started = performance.now();
    await one.stop();
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('the lease is lost while it is in use', () => {
  test('deleted: the same subnet again, and the host and its data plane never notice', async () => {
    const [host, one] = await running();
    const before = host.wishes.length;
    for (let times = 0; times < 5; times++) {
      await host.delete('10.5.1.0-24');
      await until(async () => (await published(host)) === value(ADDRESS) && one.isHeld);
    }
    expect([host.wishes.length, host.launches, one.subnet]).toEqual([before, 1, '10.5.1.0/24']);
    expect(host.engine?.calls.filter((call) => /replace|update/.test(call))).toEqual(['replace 1']);
    await until(() => one.daemon.ready);
    expect(one.daemon.problems).toEqual([]);
  });

  test('expired, after the host slept: the same', async () => {
    const [host, one] = await running();
    host.ahead += 100_000_000;
    host.store.advance(0);
    await until(async () => (await published(host)) === value(ADDRESS) && one.isHeld);
    expect([one.subnet, host.subnetsInTurn, host.launches]).toEqual(['10.5.1.0/24', ['10.5.1.0/24'], 1]);
  });

  test("overwritten with another's address: the host moves with everything, and says so until it is restarted", async () => {
    const [host, one] = await running();
    await host.lease('10.5.1.0-24', '192.0.2.9');
    await until(() => one.isHeld && one.subnet === '10.5.3.0/24' && host.engine?.routes.length === 2);
    expect(host.subnetsInTurn).toEqual(['10.5.1.0/24', '10.5.3.0/24']);
    expect(host.engine?.routes).toEqual(['10.5.1.0/24 192.0.2.9:8285', B]);
    expect(host.engine?.local).toBe('10.5.3.0/24');
    expect(await published(host)).toBe(value('192.0.2.9'));
    expect(one.daemon.problems).toEqual([expect.stringMatching(/has changed from 10\.5\.1\.0\/24/)]);
  });

  test('etcd is away for long: in use all the time, and at risk when its end may have come', async () => {
    const [host, one] = await running();
    host.store.setAvailable(false);
    host.ahead += 83_000_000;
    one.daemon.hint('host');
    await until(() => one.daemon.leases.state.name === 'renewing');
    host.ahead += 4_000_000;
    one.daemon.hint('host');
    await until(() => one.daemon.leases.state.name === 'at-risk', 4000);
    expect([one.daemon.ready, host.subnetsInTurn, host.engine?.routes]).toEqual([true, ['10.5.1.0/24'], [B]]);
    expect(one.daemon.problems.join('\n')).toMatch(/the lease is at-risk: etcd does not answer/);
    host.store.setAvailable(true);
    await until(() => one.isHeld && one.daemon.problems.length === 0, 4000);
  }, 15_000);
});

test('an address that another live machine publishes: nothing is set up, and the reason names the flag', async () => {
  const host = await LoneHost.create();
  const { id } = await host.store.grantLease(86_400);
  const record = {
    hostName: 'box1',
    version: '1.0.0',
    capabilities: [],
    lease: '10.5.1.0-24',
    publicIP: ADDRESS,
  };
  await host.store.transaction(
    [],
    [
      { do: 'put', key: OWN, value: value(ADDRESS), leaseId: id },
      {
        do: 'put',
        key: nodeKey(PREFIX, nodeIdOf('box1')),
        value: JSON.stringify({ ...record, hardware: 'x' }),
        leaseId: id,
      },
    ],
  );
  // box1 lives: it answers every question.
  const ending = new AbortController();
  const answering = (async () => {
    for await (const event of host.store.watch(`${PREFIX}/corduroy/challenges/`, ending.signal)) {
      if (event.kind !== 'delta') continue;
      for (const change of event.changes)
        if (change.kind === 'put')
          await host.store.transaction([], [{ do: 'delete', key: change.entry.key }]);
    }
  })();
  const one = host.start();
  await until(() => one.daemon.problems.join().includes('--iface'));
  expect(one.daemon.problems.join()).toMatch(/published by another one that lives, box1/);
  expect([one.daemon.ready, host.wishes, host.engine]).toEqual([false, [], undefined]);
  ending.abort();
  await answering;
});
