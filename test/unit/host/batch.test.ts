import { expect, test } from 'vitest';
import { groupByTool } from '../../../src/host/batch.ts';
import { enumerate } from '../../../src/host/enumerate.ts';

test('lines keep their order, and those of one tool that follow each other share a process', () => {
  const lines = [
    'link add name corduroy.1 type vxlan',
    'neighbour replace 10.5.2.0 lladdr 02:aa:00:00:00:02 dev corduroy.1 nud permanent',
    'ethtool -K corduroy.1 tx-checksum-ip-generic off',
    'ethtool -K corduroy6.1 tx-checksum-ip-generic off',
    'fdb replace 02:aa:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self permanent',
    'fdb replace 02:aa:00:00:00:03 dev corduroy.1 dst 192.0.2.3 self permanent',
    'route add 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink proto 67',
  ];
  const groups = groupByTool(lines);
  expect(groups.map(({ tool, lines: { length } }) => `${tool} ${length}`)).toEqual([
    'ip 2',
    'ethtool 1',
    'ethtool 1',
    'bridge 2',
    'ip 1',
  ]);
  expect(groups.flatMap((group) => group.lines)).toEqual(lines);
});

test.each([
  [0, ''],
  [2, 'a1; a2'],
  [20, Array.from({ length: 20 }, (_, index) => `a${index + 1}`).join('; ')],
])('%i things are all named', (count, expected) => {
  expect(enumerate(things(count))).toBe(expected);
});

test('of three thousand some are named, and all are counted', () => {
  const text = enumerate(things(3000));
  expect(text).toMatch(/^a1; a2; .*; and 2980 more$/);
  expect(text.length).toBeLessThan(200);
});

function things(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `a${index + 1}`);
}
