import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.ts';
import { storeContract } from './contract.ts';
import { put, View } from './view.ts';

let current: MemoryStore;
storeContract({
  name: 'memory',
  shortTtl: 2,
  open: async () => {
    current = new MemoryStore();
    return current;
  },
  pass: async (seconds) => current.advance(seconds),
});

describe('faults of the store in memory', () => {
  test('unavailable: calls fail retryably, the watch is interrupted once and catches up by a snapshot', async () => {
    const store = new MemoryStore();
    const lease = await store.grantLease(10);
    await store.transaction([], [{ do: 'put', key: '/k', value: '', leaseId: lease.id }]);
    const view = new View(store, '/');
    await view.until(({ events }) => events.length > 0);

    store.setAvailable(false);
    await expect(store.list('/')).rejects.toMatchObject({ code: 'store-unavailable', retryable: true });
    store.advance(11);
    await view.until(({ events }) => events.length === 2);
    expect(view.values).toEqual({ '/k': '' });

    store.setAvailable(true);
    await view.until(({ entries }) => entries.size === 0);
    expect(view.kinds).toEqual(['snapshot', 'interrupted', 'snapshot']);
    await view.stop();
  });

  test('a lost answer: the write happened all the same', async () => {
    const store = new MemoryStore();
    store.loseNextAnswer();
    await expect(put(store, '/k', 'v')).rejects.toMatchObject({ code: 'store-unavailable', retryable: true });
    expect((await store.get('/k'))?.value).toBe('v');
  });

  test('leases follow the clock given', async () => {
    let now = 0;
    const store = new MemoryStore({ clock: () => now });
    const { id } = await store.grantLease(10);
    now = 9_999;
    expect(await store.leaseInfo(id)).toEqual({ ttl: 0, grantedTtl: 10 });
    now = 10_000;
    await expect(store.leaseInfo(id)).rejects.toMatchObject({ code: 'lease-not-found' });
  });

  test('a broken watch: interrupted, then a snapshot', async () => {
    const store = new MemoryStore();
    const view = new View(store, '/');
    await view.until(({ events }) => events.length > 0);
    store.interruptWatches();
    await view.until(({ events }) => events.length === 3);
    expect(view.kinds).toEqual(['snapshot', 'interrupted', 'snapshot']);
    await view.stop();
  });
});
