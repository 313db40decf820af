import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Route } from '../../../../src/datapath/datapath.ts';
import { buildTable, EMPTY_TABLE, patchTable } from '../../../../src/datapath/dgram/forwarding-table.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import * as arbitrary from '../arbitraries.ts';

const route = (prefix: string, outer: string): Route => ({
  prefix: Prefix.parse(prefix),
  peer: { address: Ip.parse(outer), port: 8285 },
});
const table = (...routes: Route[]) => buildTable({ generation: 1n, local: [], routes });

describe('the forwarding table', () => {
  test('a patched table is the table that was built whole', () => {
    fc.assert(
      fc.property(arbitrary.table, arbitrary.delta, fc.nat(), (before, change, pick) => {
        // Some of the removed and replaced prefixes have to be in the table.
        const known = before.routes[pick % Math.max(1, before.routes.length)]?.prefix;
        const delta = {
          ...change,
          from: before.generation,
          remove: known === undefined ? change.remove : [...change.remove, known],
        };
        const expected = new Map(before.routes.map((each) => [each.prefix.toString(), each]));
        for (const prefix of delta.remove) expected.delete(prefix.toString());
        for (const each of delta.set) expected.set(each.prefix.toString(), each);
        const after = { generation: delta.to, local: before.local, routes: [...expected.values()] };
        const patched = patchTable(buildTable(before), delta);
        const whole = buildTable(after);
        expect(patched.generation).toBe(delta.to);
        expect(patched.nextHops.size).toBe(expected.size);
        expect([...patched.peers.keys()].sort()).toEqual([...whole.peers.keys()].sort());
        expect(new Set(patched.routesTo.keys())).toEqual(new Set(patched.peers.values()));
        for (const { family, address, last } of [
          ...delta.remove,
          ...[...before.routes, ...delta.set].map((each) => each.prefix),
        ]) {
          for (const ip of [address, last]) {
            const found = patched.nextHops.lookup(family, ip.toBytes());
            expect(found).toEqual(whole.nextHops.lookup(family, ip.toBytes()));
          }
        }
      }),
    );
  });

  test('a change to another generation is a conflict, and the table stays as it was', () => {
    const before = table(route('10.5.2.0/24', '192.0.2.2'));
    expect(() => patchTable(before, { from: 2n, to: 3n, remove: [], set: [] })).toThrow(
      expect.objectContaining({
        code: 'conflict',
        message: expect.stringMatching(/generation 2.*generation 1/),
      }),
    );
  });

  test('a table that is in use is not changed by its successor', () => {
    const before = table(route('10.5.2.0/24', '192.0.2.2'));
    const after = patchTable(before, { from: 1n, to: 2n, remove: [Prefix.parse('10.5.2.0/24')], set: [] });
    const address = Ip.parse('10.5.2.1').toBytes();
    expect(before.nextHops.lookup(4, address)?.peer.host).toBe('192.0.2.2');
    expect(after.nextHops.lookup(4, address)).toBeUndefined();
  });

  test('a peer is one outer address, whatever its routes; its counters go from table to table', () => {
    const before = table(route('10.5.2.0/24', '192.0.2.2'), route('10.5.3.0/24', '192.0.2.2'));
    expect([...before.peers.keys()]).toEqual(['192.0.2.2']);
    const peer = before.peers.get('192.0.2.2');
    if (peer === undefined) throw new Error('no peer');
    peer.sentPackets = 5;
    const after = buildTable(
      { generation: 2n, local: [], routes: [route('10.5.4.0/24', '192.0.2.2')] },
      before,
    );
    expect(after.peers.get('192.0.2.2')).toBe(peer);
    expect(buildTable({ generation: 3n, local: [], routes: [] }, after).peers.size).toBe(0);
    expect(EMPTY_TABLE.peers.size).toBe(0);
  });

  test('a change keeps the counters, and forgets a peer with its last route', () => {
    const before = table(route('10.5.2.0/24', '192.0.2.2'), route('10.5.3.0/24', '192.0.2.2'));
    const peer = before.peers.get('192.0.2.2');
    const remove = (prefix: string) => [Prefix.parse(prefix)];
    const one = patchTable(before, { from: 1n, to: 2n, remove: remove('10.5.2.0/24'), set: [] });
    expect(one.peers.get('192.0.2.2')).toBe(peer);
    // Gone for a moment within one change, and back: the same peer.
    const set = [route('10.5.9.0/24', '192.0.2.2')];
    const moved = patchTable(one, { from: 2n, to: 3n, remove: remove('10.5.3.0/24'), set });
    expect(moved.peers.get('192.0.2.2')).toBe(peer);
    const elsewhere = patchTable(moved, {
      from: 3n,
      to: 4n,
      remove: [],
      set: [route('10.5.9.0/24', '192.0.2.3')],
    });
    expect([...elsewhere.peers.keys()]).toEqual(['192.0.2.3']);
  });
});
