import { describe, expect, test } from 'vitest';
import { bytes, duration, good, table } from '../../../src/cli/format.ts';

describe('table', () => {
  test('columns as wide as their widest cell, nothing after the last', () => {
    expect(
      table([
        ['SUBNET', 'IP', 'X'],
        ['10.5.1.0/24', '192.0.2.1', ''],
        ['a', 'b', 'c'],
      ]),
    ).toBe('SUBNET       IP         X\n10.5.1.0/24  192.0.2.1\na            b          c');
  });

  test('rows of different lengths, and none at all', () => {
    expect(table([['a'], ['bb', 'c'], []])).toBe('a\nbb  c\n');
    expect(table([])).toBe('');
  });
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [1049, '1.0 kB'],
  [99_900, '99.9 kB'],
  [123_456, '123 kB'],
  [999_499, '999 kB'],
  [999_999, '1.0 MB'],
  [1_500_000, '1.5 MB'],
  [2_000_000_000, '2.0 GB'],
  [3e12, '3.0 TB'],
  [5e15, '5000 TB'],
])('%i bytes are %s', (count, expected) => {
  expect(bytes(count)).toBe(expected);
});

test.each([
  [0, '0 s'],
  [59.9, '59 s'],
  [60, '1 min 0 s'],
  [3599, '59 min 59 s'],
  [3600, '1 h 0 min'],
  [86_399, '23 h 59 min'],
  [86_400, '1 d 0 h'],
  [400 * 86_400 + 7200, '400 d 2 h'],
])('%d seconds are %s', (seconds, expected) => {
  expect(duration(seconds)).toBe(expected);
});

test('no colours where nobody sees them', () => {
  const { isTTY } = process.stdout;
  const { NO_COLOR } = process.env;
  try {
    delete process.env.NO_COLOR;
    process.stdout.isTTY = false;
    expect(good('fine')).toBe('fine');
    process.stdout.isTTY = true;
    process.env.NO_COLOR = '1';
    expect(good('fine')).toBe('fine');
  } finally {
    process.stdout.isTTY = isTTY;
    if (NO_COLOR === undefined) delete process.env.NO_COLOR;
    else process.env.NO_COLOR = NO_COLOR;
  }
});
