import { describe, expect, test } from 'vitest';
import { NetworkView } from '../../../src/daemon/network-view.ts';
import type { Change, Entry } from '../../../src/store/store.ts';
import { entry, PREFIX, value } from '../lease/fixtures.ts';

const A = '10.5.1.0-24';
const B = '10.5.2.0-24';
const C = '10.5.3.0-24';
const host = (number: number) => value(`192.0.2.${number}`);
const put = (one: Entry): Change => ({ kind: 'put', entry: one });
const gone = (name: string, revision: bigint): Change => ({
  kind: 'delete',
  key: `${PREFIX}/subnets/${name}`,
  modRevision: revision,
});

/** Whom packets of a subnet are sent to: `10.5.1.0/24 192.0.2.1`. */
const sentTo = (view: NetworkView) =>
  view.peerLeases
    .leases()
    .map(({ subnets, attributes }) => `${subnets.join(' ')} ${attributes.publicIp}`)
    .sort();
const KNOWN = ['10.5.1.0/24 192.0.2.1', '10.5.2.0/24 192.0.2.2'];
const RESTORED = ['10.5.1.0/24 192.0.2.2'];

/** Host 1 has A and host 2 has B, as of 100; the backup, as of 50, shows A as host 2's and knows no B. */
function restored(): NetworkView {
  const view = new NetworkView(PREFIX);
  view.apply({ kind: 'snapshot', revision: 100n, entries: [entry(A, host(1), 80), entry(B, host(2), 90)] });
  expect(view.apply({ kind: 'snapshot', revision: 50n, entries: [entry(A, host(2), 40)] })).toBe(true);
  expect(sentTo(view)).toEqual(KNOWN);
  return view;
}

const delta = (view: NetworkView, revision: bigint, ...changes: Change[]) =>
  view.apply({ kind: 'delta', revision, changes });

describe('etcd was restored from a backup', () => {
  test('a host deletes the old lease that the backup shows as its own: the newer one known stays', () => {
    const view = restored();
    // As a host does it: its own written again, and the stale one deleted, in one transaction.
    delta(view, 51n, put(entry(B, host(2), 51)), gone(A, 51n));
    expect(sentTo(view)).toEqual(KNOWN);
    delta(view, 52n, put(entry(A, host(1), 52)));
    expect(sentTo(view)).toEqual(KNOWN);
  });

  test('a host gives back what it has written since: gone at once', () => {
    const view = restored();
    delta(view, 51n, put(entry(B, host(2), 51)));
    delta(view, 52n, gone(B, 52n));
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.1']);
  });

  test('a lease that backup and memory agree on is deleted: gone at once', () => {
    const view = new NetworkView(PREFIX);
    const same = entry(A, host(1), 40);
    view.apply({ kind: 'snapshot', revision: 100n, entries: [same, entry(B, host(2), 90)] });
    view.apply({ kind: 'snapshot', revision: 50n, entries: [same] });
    delta(view, 51n, gone(A, 51n));
    expect(sentTo(view)).toEqual(['10.5.2.0/24 192.0.2.2']);
  });

  test('a lease that only the backup knows is sent by, and its deletion counts at once', () => {
    const view = new NetworkView(PREFIX);
    view.apply({ kind: 'snapshot', revision: 100n, entries: [entry(A, host(1), 80)] });
    view.apply({ kind: 'snapshot', revision: 50n, entries: [entry(C, host(3), 40)] });
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.1', '10.5.3.0/24 192.0.2.3']);
    delta(view, 51n, gone(C, 51n));
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.1']);
  });

  test('whatever is written counts, also over what was known: a host that has moved, and a new one', () => {
    const view = restored();
    delta(view, 51n, put(entry(A, host(7), 51)), put(entry(C, host(3), 51)));
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.7', '10.5.2.0/24 192.0.2.2', '10.5.3.0/24 192.0.2.3']);
  });

  test('what is compared with etcd is what etcd says, all the time', () => {
    const view = restored();
    expect(view.cluster.leases.leases().map(({ attributes }) => String(attributes.publicIp))).toEqual([
      '192.0.2.2',
    ]);
  });

  test('let go: what etcd says, and nothing else', () => {
    const view = restored();
    view.letGo();
    expect(sentTo(view)).toEqual(RESTORED);
    delta(view, 51n, gone(A, 51n));
    expect(sentTo(view)).toEqual([]);
  });
});

describe('everything is read anew meanwhile', () => {
  test('not older: what was known stays, and what was written since is taken over', () => {
    const view = restored();
    const written = entry(B, host(9), 55);
    const wentBack = view.apply({
      kind: 'snapshot',
      revision: 60n,
      entries: [entry(A, host(2), 40), written, entry(C, host(3), 60)],
    });
    expect([wentBack, sentTo(view)]).toEqual([
      false,
      ['10.5.1.0/24 192.0.2.1', '10.5.2.0/24 192.0.2.9', '10.5.3.0/24 192.0.2.3'],
    ]);
    // And deletions go on to be told apart.
    delta(view, 61n, gone(A, 61n), gone(C, 61n));
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.1', '10.5.2.0/24 192.0.2.9']);
  });

  test('of the very revision that was restored: what was known stays', () => {
    const view = restored();
    view.apply({ kind: 'snapshot', revision: 50n, entries: [entry(A, host(2), 40)] });
    expect(sentTo(view)).toEqual(KNOWN);
  });

  test('older again: what was known at first stays, with what was written between', () => {
    const view = restored();
    delta(view, 51n, put(entry(C, host(3), 51)));
    const wentBack = view.apply({ kind: 'snapshot', revision: 30n, entries: [entry(B, host(8), 20)] });
    expect([wentBack, sentTo(view)]).toEqual([true, [...KNOWN, '10.5.3.0/24 192.0.2.3']]);
    // What came after the second restore is told by its revision, not by that of the first.
    view.apply({ kind: 'snapshot', revision: 35n, entries: [entry(B, host(8), 20), entry(A, host(6), 33)] });
    expect(sentTo(view)).toEqual(['10.5.1.0/24 192.0.2.6', '10.5.2.0/24 192.0.2.2', '10.5.3.0/24 192.0.2.3']);
  });

  test('an interruption between changes nothing', () => {
    const view = restored();
    view.apply({ kind: 'interrupted', error: new Error('away') });
    expect(sentTo(view)).toEqual(KNOWN);
  });

  test('after it was let go: an ordinary one', () => {
    const view = restored();
    view.letGo();
    view.apply({ kind: 'snapshot', revision: 60n, entries: [entry(C, host(3), 55)] });
    expect(sentTo(view)).toEqual(['10.5.3.0/24 192.0.2.3']);
  });
});
