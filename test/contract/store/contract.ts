import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LeaseId, Operation, Store } from '../../../src/store/store.ts';
import { put, View, valuesOf } from './view.ts';

export interface StoreHarness {
  readonly name: string;
  /** Why it cannot run here. */
  readonly missing?: string | undefined;
  /** A store without keys. */
  open(): Promise<Store>;
  /** Lets time pass for leases. */
  pass(seconds: number): Promise<void>;
  /** Shortest time to live a lease may be granted for, in seconds; the suite waits for it to pass. */
  readonly shortTtl: number;
}

/** What every Store promises. */
export function storeContract(harness: StoreHarness): void {
  describe(`store contract: ${harness.name}`, () => {
    let store: Store;
    const views: View[] = [];
    const view = (...args: ConstructorParameters<typeof View>) => {
      const made = new View(...args);
      views.push(made);
      return made;
    };

    beforeEach(async (context) => {
      if (harness.missing !== undefined) return context.skip(harness.missing);
      store = await harness.open();
    });
    afterEach(async () => {
      await Promise.all(views.splice(0).map((made) => made.stop()));
      await store?.close();
    });

    describe('reading', () => {
      test('lists exactly the keys under a prefix, in byte order, as of one revision', async () => {
        const inside = ['/a/', '/a/1', '/a/10', '/a/2', '/a/\u{fffd}', '/a/\u{1f9f6}'];
        for (const key of ['/a', '/a0', '/b/1', ...inside.toReversed()]) await put(store, key, `of ${key}`);
        const last = await put(store, '/z', '');

        const listing = await store.list('/a/');

        expect(listing.entries.map(({ key }) => key)).toEqual(inside);
        expect(listing.entries.map(({ value }) => value)).toEqual(inside.map((key) => `of ${key}`));
        expect(listing.revision).toBe(last);
      });

      test('lists everything under the empty prefix, and nothing under a foreign one', async () => {
        await put(store, 'a', '1');
        await put(store, '\u{10ffff}', '2');
        expect(valuesOf((await store.list('')).entries)).toEqual({ a: '1', '\u{10ffff}': '2' });
        expect((await store.list('b')).entries).toEqual([]);
      });

      test('ends a prefix right where its last byte is the greatest of its kind', async () => {
        // "ÿ" is C3 BF and "Ā" C4 80: the end of the range must carry past the BF.
        for (const key of ['k\u{ff}', 'k\u{ff}1', 'k\u{100}']) await put(store, key, '');
        expect((await store.list('k\u{ff}')).entries.map(({ key }) => key)).toEqual(['k\u{ff}', 'k\u{ff}1']);
      });

      test('gets a key with its revisions; undefined for none', async () => {
        const created = await put(store, '/k', 'first');
        const modified = await put(store, '/k', 'zweitens ✓');
        expect(await store.get('/k')).toEqual({
          key: '/k',
          value: 'zweitens ✓',
          createRevision: created,
          modRevision: modified,
          leaseId: undefined,
        });
        expect(await store.get('/absent')).toBeUndefined();
      });

      test('refuses the empty key', async () => {
        await expect(store.get('')).rejects.toMatchObject({ code: 'store-protocol' });
      });
    });

    describe('transactions', () => {
      test('put only where nothing is', async () => {
        const claim = (value: string) =>
          store.transaction([{ key: '/k', is: 'absent' }], [{ do: 'put', key: '/k', value }]);
        const first = await claim('mine');
        const second = await claim('theirs');
        expect(first.succeeded).toBe(true);
        expect(second).toEqual({ succeeded: false, revision: first.revision });
        expect(await store.get('/k')).toMatchObject({ value: 'mine', modRevision: first.revision });
      });

      test('put only over what was read', async () => {
        const read = await put(store, '/k', '1');
        const swap = (value: string) =>
          store.transaction(
            [{ key: '/k', is: 'unchanged', modRevision: read }],
            [{ do: 'put', key: '/k', value }],
          );
        expect((await swap('2')).succeeded).toBe(true);
        expect((await swap('3')).succeeded).toBe(false);
        expect((await store.get('/k'))?.value).toBe('2');
      });

      test('an absent key is not an unchanged one', async () => {
        const result = await store.transaction(
          [{ key: '/k', is: 'unchanged', modRevision: 1n }],
          [{ do: 'put', key: '/k', value: '' }],
        );
        expect(result.succeeded).toBe(false);
      });

      test('do all or nothing, as one revision', async () => {
        const before = await put(store, '/old', '');
        const operations: Operation[] = [
          { do: 'put', key: '/1', value: 'a' },
          { do: 'put', key: '/2', value: 'b' },
          { do: 'delete', key: '/old' },
        ];
        const failed = await store.transaction(
          [
            { key: '/old', is: 'unchanged', modRevision: before },
            { key: '/old', is: 'absent' },
          ],
          operations,
        );
        expect(failed).toEqual({ succeeded: false, revision: before });
        expect((await store.list('/')).entries).toHaveLength(1);

        const done = await store.transaction(
          [{ key: '/old', is: 'unchanged', modRevision: before }],
          operations,
        );
        expect(done).toEqual({ succeeded: true, revision: before + 1n });
        const { entries } = await store.list('/');
        expect(valuesOf(entries)).toEqual({ '/1': 'a', '/2': 'b' });
        expect(entries.every(({ modRevision }) => modRevision === done.revision)).toBe(true);
      });

      test('a key deleted and put again is a new one', async () => {
        await put(store, '/k', '1');
        await store.transaction([], [{ do: 'delete', key: '/k' }]);
        const again = await put(store, '/k', '2');
        expect(await store.get('/k')).toMatchObject({ createRevision: again, modRevision: again });
      });

      test('deleting what is not there changes nothing', async () => {
        const before = await put(store, '/k', '');
        expect(await store.transaction([], [{ do: 'delete', key: '/absent' }])).toEqual({
          succeeded: true,
          revision: before,
        });
      });

      test('exactly one of many claimants wins', async () => {
        const claims = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            store.transaction([{ key: '/k', is: 'absent' }], [{ do: 'put', key: '/k', value: String(i) }]),
          ),
        );
        const winners = claims.flatMap(({ succeeded }, i) => (succeeded ? [String(i)] : []));
        expect(winners).toEqual([(await store.get('/k'))?.value]);
      });

      test('hold 128 operations, not 129, and no key twice', async () => {
        const puts = (count: number) =>
          Array.from({ length: count }, (_, i): Operation => ({ do: 'put', key: `/${i}`, value: '' }));
        expect((await store.transaction([], puts(128))).succeeded).toBe(true);
        const refusal = { code: 'store-protocol' };
        await expect(store.transaction([], puts(129))).rejects.toMatchObject(refusal);
        await expect(store.transaction([], [...puts(1), ...puts(1)])).rejects.toMatchObject(refusal);
      });
    });

    describe('leases', () => {
      const dead = '4242' as LeaseId;
      const putUnder = (key: string, leaseId: LeaseId) =>
        store.transaction([], [{ do: 'put', key, value: '', leaseId }]);

      test('are granted for at least the time asked for, and tell it', async () => {
        const { id, ttl } = await store.grantLease(60);
        expect(ttl).toBeGreaterThanOrEqual(60);
        const info = await store.leaseInfo(id);
        expect(info.grantedTtl).toBe(ttl);
        expect(info.ttl).toBeGreaterThan(50);
        expect(info.ttl).toBeLessThanOrEqual(ttl);
      });

      test('are renewed to their full time', async () => {
        const { id, ttl } = await store.grantLease(harness.shortTtl + 2);
        await harness.pass(1.5);
        expect((await store.leaseInfo(id)).ttl).toBeLessThan(ttl);
        expect(await store.keepLease(id)).toBe(ttl);
        expect((await store.leaseInfo(id)).ttl).toBeGreaterThanOrEqual(ttl - 1);
      });

      test('show in the entries they hold, until the key is put without', async () => {
        const { id } = await store.grantLease(60);
        await putUnder('/k', id);
        expect((await store.get('/k'))?.leaseId).toBe(id);
        await put(store, '/k', 'for good');
        expect((await store.get('/k'))?.leaseId).toBeUndefined();
        await store.revokeLease(id);
        expect((await store.get('/k'))?.value).toBe('for good');
      });

      test('take their keys along when revoked, in one revision', async () => {
        const { id } = await store.grantLease(60);
        await putUnder('/1', id);
        await putUnder('/2', id);
        const before = await put(store, '/stays', '');
        const watched = view(store, '/');
        await watched.until(({ events }) => events.length > 0);

        await store.revokeLease(id);

        const deleted = { kind: 'delete', modRevision: before + 1n };
        expect(await watched.until(({ events }) => events[1])).toEqual({
          kind: 'delta',
          revision: before + 1n,
          changes: [
            { ...deleted, key: '/1' },
            { ...deleted, key: '/2' },
          ],
        });
        await expect(store.keepLease(id)).rejects.toMatchObject({
          code: 'lease-not-found',
          retryable: false,
        });
      });

      test('that are gone: revoking is no error, everything else is lease-not-found', async () => {
        await expect(store.revokeLease(dead)).resolves.toBeUndefined();
        const notFound = { code: 'lease-not-found', retryable: false };
        await expect(store.keepLease(dead)).rejects.toMatchObject(notFound);
        await expect(store.leaseInfo(dead)).rejects.toMatchObject(notFound);
        await expect(putUnder('/k', dead)).rejects.toMatchObject(notFound);
        expect(await store.get('/k')).toBeUndefined();
      });

      test('end with their keys when nobody renews them, and live on when somebody does', async () => {
        const left = await store.grantLease(harness.shortTtl);
        const kept = await store.grantLease(harness.shortTtl);
        await putUnder('/left', left.id);
        await putUnder('/kept', kept.id);
        const watched = view(store, '/');
        await watched.until(({ events }) => events.length > 0);

        for (let passed = 0; passed < harness.shortTtl + 1; passed += harness.shortTtl / 2) {
          await harness.pass(harness.shortTtl / 2);
          await store.keepLease(kept.id);
        }

        await watched.until(({ entries }) => !entries.has('/left'));
        expect(watched.values).toEqual({ '/kept': '' });
        expect(await store.get('/left')).toBeUndefined();
        await expect(store.leaseInfo(left.id)).rejects.toMatchObject({ code: 'lease-not-found' });
      });
    });

    describe('watching', () => {
      test('begins with a snapshot of what is there', async () => {
        await put(store, '/w/1', 'a');
        await put(store, '/other', '');
        const watched = view(store, '/w/');
        const first = await watched.until(({ events }) => events[0]);
        expect(first).toEqual({ kind: 'snapshot', ...(await store.list('/w/')) });
        expect(watched.values).toEqual({ '/w/1': 'a' });
      });

      test('tells every change of the prefix once and in order, each revision whole', async () => {
        const start = await put(store, '/w/0', '');
        const watched = view(store, '/w/');
        await watched.until(({ events }) => events.length > 0);

        await put(store, '/w/1', 'a');
        await put(store, '/x', 'not watched');
        await store.transaction(
          [],
          [
            { do: 'put', key: '/w/2', value: 'b' },
            { do: 'put', key: '/x', value: 'still not' },
            { do: 'delete', key: '/w/0' },
          ],
        );
        await put(store, '/w/1', 'c');

        await watched.until(({ events }) => events.length === 4);
        const entry = (key: string, value: string, created: bigint, modified: bigint) => ({
          kind: 'put',
          entry: {
            key,
            value,
            createRevision: start + created,
            modRevision: start + modified,
            leaseId: undefined,
          },
        });
        expect(watched.events.slice(1)).toEqual([
          { kind: 'delta', revision: start + 1n, changes: [entry('/w/1', 'a', 1n, 1n)] },
          {
            kind: 'delta',
            revision: start + 3n,
            changes: [entry('/w/2', 'b', 3n, 3n), { kind: 'delete', key: '/w/0', modRevision: start + 3n }],
          },
          { kind: 'delta', revision: start + 4n, changes: [entry('/w/1', 'c', 1n, 4n)] },
        ]);
      });

      test('misses nothing and repeats nothing among concurrent writers, begun in their midst', async () => {
        const write = async (writer: number) => {
          for (let i = 0; i < 50; i++) await put(store, `/w/${writer}/${i % 7}`, `${i}`);
        };
        const writers = [0, 1, 2, 3].map(write);
        await Promise.all([0, 1, 2].map((i) => put(store, `/w/before/${i}`, '')));
        const watched = [view(store, '/w/'), view(store, '/w/')];
        await Promise.all(writers);
        const end = await put(store, '/w/end', '');

        for (const one of watched) {
          await one.until(({ entries }) => entries.has('/w/end'));
          expect(one.values).toEqual(valuesOf((await store.list('/w/')).entries));
          const [snapshot] = one.of('snapshot');
          const expected = [];
          for (let revision = (snapshot?.revision ?? 0n) + 1n; revision <= end; revision++)
            expected.push(revision);
          expect(one.of('delta').map(({ revision }) => revision)).toEqual(expected);
          expect(one.of('interrupted')).toEqual([]);
        }
      });

      test('keeps everything for a consumer that is slow', async () => {
        let hurry = false;
        const watched = view(store, '/w/', async () => {
          while (!hurry) await new Promise((resolve) => setTimeout(resolve, 10));
        });
        await watched.until(({ events }) => events.length > 0);
        // Far beyond what the connection buffers.
        const value = 'x'.repeat(20_000);
        for (let i = 0; i < 200; i++) await put(store, `/w/${i % 10}`, `${i}${value}`);
        const listed = valuesOf((await store.list('/w/')).entries);
        hurry = true;
        await watched.until(({ entries }) => entries.get('/w/9')?.value.startsWith('199x'));
        expect(watched.values).toEqual(listed);
        expect(watched.of('interrupted')).toEqual([]);
      });

      test('ends quietly when aborted: while idle, while the consumer is busy, and before it began', async () => {
        const idle = view(store, '/w/');
        const release = new AbortController();
        const busy = view(store, '/w/', () => once(release.signal, 'abort'));
        await idle.until(({ events }) => events.length > 0);
        await busy.until(({ events }) => events.length > 0);
        await put(store, '/w/1', '');
        await idle.until(({ events }) => events.length === 2);
        await idle.stop();

        const stopped = busy.stop();
        release.abort();
        await stopped;
        expect(busy.kinds).toEqual(['snapshot']);

        const early: unknown[] = [];
        for await (const event of store.watch('/w/', AbortSignal.abort())) early.push(event);
        expect(early).toEqual([]);
      });

      test('ends when the consumer leaves', async () => {
        const controller = new AbortController();
        for await (const event of store.watch('/w/', controller.signal)) {
          expect(event.kind).toBe('snapshot');
          break;
        }
        expect((await store.list('/')).entries).toEqual([]);
      });
    });

    test('a closed store refuses, and not for retrying', async () => {
      await store.close();
      await expect(store.list('/')).rejects.toMatchObject({ code: 'store-unavailable', retryable: false });
    });
  });
}
