import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { difference } from '../../../src/daemon/datapath-keeper.ts';
import type { Route } from '../../../src/datapath/datapath.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const routeOf = (text: string): Route => {
  const [prefix = '', address = ''] = text.split(' ');
  return { prefix: Prefix.parse(prefix), peer: { address: Ip.parse(address), port: 8285 } };
};

describe('difference', () => {
  const prefixes = ['10.5.2.0/24', '10.5.2.0/25', '10.5.3.0/24', '10.5.4.0/24'];
  // Few of them, each one object: as a backend makes them, a route that is there twice is the same object or an equal one.
  const known = prefixes
    .flatMap((prefix) => [1, 2, 3].map((last) => `${prefix} 192.0.2.${last}`))
    .map(routeOf);
  const anyRoute = fc
    .tuple(fc.constantFrom(...known), fc.boolean())
    .map(([route, isCopy]) => (isCopy ? { ...route } : route));
  const anyRoutes = fc.uniqueArray(anyRoute, { selector: ({ prefix }) => prefix.toString() });
  const textsOf = (routes: readonly Route[]) =>
    new Map(routes.map((one) => [one.prefix.toString(), format(one)]));
  const format = ({ prefix, peer }: Route) => `${prefix} ${peer.address}:${peer.port}`;

  test('leads from one table to the other, and is the smallest that does', () => {
    fc.assert(
      fc.property(anyRoutes, anyRoutes, (from, to) => {
        const delta = difference(from, to, 7n);
        const [before, wanted] = [textsOf(from), textsOf(to)];
        const result = new Map(before);
        for (const prefix of delta?.remove ?? []) result.delete(prefix.toString());
        for (const route of delta?.set ?? []) result.set(route.prefix.toString(), format(route));
        expect(new Map([...result].sort())).toEqual(new Map([...wanted].sort()));

        const changed = [...wanted].filter(([prefix, text]) => before.get(prefix) !== text);
        const gone = [...before.keys()].filter((prefix) => !wanted.has(prefix));
        expect([delta?.set.length ?? 0, delta?.remove.length ?? 0]).toEqual([changed.length, gone.length]);
        if (delta !== undefined) expect([delta.from, delta.to]).toEqual([7n, 8n]);
        expect(delta === undefined).toBe(changed.length + gone.length === 0);
      }),
      { numRuns: 1000 },
    );
  });

  test('another port alone is a change', () => {
    const [route] = known;
    if (route === undefined) throw new Error('no route');
    const moved = { ...route, peer: { ...route.peer, port: 8286 } };
    expect(difference([route], [moved], 1n)).toMatchObject({ remove: [], set: [moved] });
  });
});
