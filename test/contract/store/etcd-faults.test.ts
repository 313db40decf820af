import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import type { EtcdOptions } from '../../../src/store/etcd/options.ts';
import type { LeaseId, Store } from '../../../src/store/store.ts';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { put, View, valuesOf } from './view.ts';

const missing = etcdMissing();

describe('faults of etcd', () => {
  let etcd: TestEtcd;
  const cleanUp: (() => Promise<unknown>)[] = [];
  const open = (options: Partial<EtcdOptions> = {}): Store => {
    const store = openEtcdStore({ endpoints: [etcd.endpoint], ...options });
    cleanUp.push(() => store.close());
    return store;
  };
  const watch = (store: Store, dawdle?: () => Promise<unknown>) => {
    const view = new View(store, '/w/', dawdle);
    cleanUp.push(() => view.stop());
    return view;
  };

  beforeEach(async (context) => {
    if (missing !== undefined) return context.skip(missing);
    etcd = await startEtcd();
    cleanUp.push(() => etcd.stop());
  });
  afterEach(async () => {
    for (const step of cleanUp.splice(0).toReversed()) await step();
  });

  /** Writes without pause, whatever happens to etcd, until told to stop. */
  const scribble = (store: Store) => {
    let going = true;
    const written = { count: 0 };
    const done = (async () => {
      while (going) {
        const { count } = written;
        await store
          .transaction([], [{ do: 'put', key: `/w/${count % 10}`, value: `${count}` }])
          .then(() => written.count++)
          .catch(() => sleep(5));
      }
    })();
    const stop = async () => {
      going = false;
      await done;
    };
    cleanUp.push(stop);
    return { written, stop };
  };

  test('killed and restarted amid writes, again and again: no change is lost', async () => {
    const view = watch(open({ watchBackoff: { minMs: 50, maxMs: 300, firstMaxMs: 300 } }));
    await view.until(({ events }) => events.length > 0);
    // The writer is connected again before, at and after the moment when the watch is.
    const writers = [scribble(open()), scribble(open())];
    const outages = 4;
    for (let outage = 1; outage <= outages; outage++) {
      const before = writers[0]?.written.count ?? 0;
      await view.until(() => (writers[0]?.written.count ?? 0) > before + 20);
      await etcd.kill();
      await view.until((seen) => seen.of('interrupted').length === outage);
      await etcd.restart();
      await view.until((seen) => seen.of('snapshot').length === outage + 1);
    }
    for (const writer of writers) await writer.stop();
    const store = open();
    const end = await put(store, '/w/end', '');

    await view.until(({ entries }) => entries.has('/w/end'));
    expect(view.values).toEqual(valuesOf((await store.list('/w/')).entries));
    // All writes are below the prefix, so that every revision from a snapshot on must come, one by one.
    let previous = 0n;
    for (const event of view.events) {
      if (event.kind === 'snapshot') expect(event.revision).toBeGreaterThanOrEqual(previous);
      if (event.kind === 'delta') expect(event.revision).toBe(previous + 1n);
      if (event.kind !== 'interrupted') previous = event.revision;
    }
    expect(previous).toBe(end);
    expect(view.of('interrupted')).toHaveLength(outages);
  });

  test('down: calls fail at once, retryably, and name the endpoint', async () => {
    const store = open();
    await etcd.kill();
    const began = performance.now();
    await expect(store.list('/')).rejects.toMatchObject({
      code: 'store-unavailable',
      retryable: true,
      message: expect.stringContaining(etcd.endpoint),
    });
    await expect(store.grantLease(60)).rejects.toMatchObject({ code: 'store-unavailable' });
    await expect(store.keepLease('1' as LeaseId)).rejects.toMatchObject({ code: 'store-unavailable' });
    await expect(put(store, '/k', '')).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test.each(['127.0.0.1', 'localhost'])(
    'not up yet at %s: reading and watching begin within a second of its first answer',
    async (host) => {
      await etcd.kill();
      const store = open({ endpoints: [etcd.endpoint.replace('127.0.0.1', host)] });
      const view = watch(store);
      const read = (async () => {
        for (;;) {
          const listed = await store.list('/').catch(() => sleep(100, undefined));
          if (listed !== undefined) return performance.now();
        }
      })();
      // Long enough for circuit breakers to open and for pauses to have grown.
      await sleep(3000);
      expect(view.kinds).toEqual(['interrupted']);

      await etcd.restart();
      const answered = performance.now();
      const watching = view.until((seen) => seen.of('snapshot').length > 0 && performance.now());

      expect((await watching) - answered).toBeLessThan(1000);
      expect((await read) - answered).toBeLessThan(1000);
      expect(view.kinds).toEqual(['interrupted', 'snapshot']);
    },
  );

  test('hung: calls time out, a short while leaves the watch alone, a long one it notices', async () => {
    // gRPC pings 10 s after connecting, then every 10 s, and waits 5 s. The names differ so that the connections do.
    const early = open({ requestTimeoutMs: 1000 });
    const earlyView = watch(early);
    await earlyView.until(({ events }) => events.length > 0);
    const connected = performance.now();
    await etcd.pause();
    await expect(early.list('/')).rejects.toMatchObject({ code: 'store-unavailable', retryable: true });
    expect(performance.now() - connected).toBeLessThan(2000);
    etcd.resume();

    // Nor does leaving one watch harm the other.
    const left = watch(early);
    await left.until(({ events }) => events.length > 0);
    await left.stop();

    const late = open({ endpoints: [etcd.endpoint.replace('127.0.0.1', 'localhost')] });
    const lateView = watch(late);
    await lateView.until(({ events }) => events.length > 0);
    await sleep(10_500 - (performance.now() - connected));
    expect(earlyView.kinds).toEqual(['snapshot']);

    await etcd.pause();
    await lateView.until((seen) => seen.of('interrupted').length === 1, 16_000);
    etcd.resume();
    await expect.poll(() => put(late, '/w/after', '').catch(() => 0n)).toBeGreaterThan(0n);
    await lateView.until(({ entries }) => entries.has('/w/after'));
    expect(lateView.kinds.slice(0, 3)).toEqual(['snapshot', 'interrupted', 'snapshot']);
    // For this one it was a short while again.
    await earlyView.until(({ entries }) => entries.has('/w/after'));
    expect(earlyView.of('interrupted')).toEqual([]);
  });

  test('one of two endpoints refuses connections: the first write of all goes by the other', async () => {
    const endpoints = ['http://127.0.0.1:1', etcd.endpoint];
    for (let i = 0; i < 20; i++) {
      const revision = await put(
        open({ endpoints: i % 2 ? endpoints : endpoints.toReversed() }),
        '/w/first',
        `${i}`,
      );
      expect(revision).toBeGreaterThan(0n);
    }
  });

  test('the way to it changes while it is silent: calls under way fail at once', async () => {
    const store = open();
    await put(store, '/w/before', '');
    await etcd.pause();
    try {
      const listing = store.list('/');
      const asked = performance.now();
      await sleep(100);
      store.reconnect();
      await expect(listing).rejects.toMatchObject({ code: 'store-unavailable', retryable: true });
      expect(performance.now() - asked).toBeLessThan(1000);
    } finally {
      etcd.resume();
    }
    await expect.poll(() => put(store, '/w/after', '').catch(() => 0n)).toBeGreaterThan(0n);
  });

  test('compacted under a watcher that lags: it catches up by a snapshot', async () => {
    let hurry = false;
    const store = open();
    const view = watch(store, async () => {
      while (!hurry) await sleep(10);
    });
    await view.until(({ events }) => events.length > 0);
    const writer = open();
    const value = 'x'.repeat(100_000);
    let revision = 0n;
    for (let i = 0; i < 400; i++) revision = await put(writer, `/w/${i % 5}`, `${i}${value}`);
    await etcd.etcdctl('compact', String(revision));
    hurry = true;

    await view.until((seen) => seen.of('snapshot').length === 2);
    expect(view.of('interrupted').map(({ error }) => error.message)).toEqual([
      expect.stringContaining('compacted'),
    ]);
    await put(writer, '/w/end', '');
    await view.until(({ entries }) => entries.has('/w/end'));
    expect(view.values).toEqual(valuesOf((await store.list('/w/')).entries));
  });

  test('one endpoint of two dead: reads never fail, and writes find the living one', async () => {
    const dead = await startEtcd();
    await dead.stop();
    const store = open({ endpoints: [dead.endpoint, etcd.endpoint] });
    const view = watch(store);
    for (let i = 0; i < 20; i++) await store.list('/');
    for (let i = 0; i < 20; i++) await put(store, `/w/${i}`, '');
    await view.until(({ entries }) => entries.size === 20);
  });

  test('a lease outlives a restart of etcd, and its holder can go on renewing it', async () => {
    const store = open();
    const { id } = await store.grantLease(60);
    await store.transaction([], [{ do: 'put', key: '/k', value: '', leaseId: id }]);
    await etcd.kill();
    await expect(store.keepLease(id)).rejects.toMatchObject({ code: 'store-unavailable', retryable: true });
    await etcd.restart();
    await expect.poll(() => store.keepLease(id).catch(() => 0)).toBe(60);
    expect((await store.get('/k'))?.leaseId).toBe(id);
  });

  test('closing leaves no socket or timer behind, a forgotten watch included', async () => {
    const held = () => process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
    // What other tests left behind goes first.
    for (let i = 0; i < 100 && held() > 0; i++) await sleep(50);
    const before = held();
    const store = openEtcdStore({ endpoints: [etcd.endpoint] });
    const view = new View(store, '/w/');
    await view.until(({ events }) => events.length > 0);
    await store.keepLease((await store.grantLease(60)).id);
    expect(held()).toBeGreaterThan(before);

    await store.close();
    await view.done;
    await sleep(50);
    expect(held()).toBeLessThanOrEqual(before);
  });
});
