import { expect, test } from 'vitest';
import { printable } from '../../src/printable.ts';

test.each([
  ['/net/subnets/10.5.1.0-24', '/net/subnets/10.5.1.0-24'],
  ['a\nb\u001b[2J', 'a\\nb\\u001b[2J'],
  ['a\u007f\u009b2J', 'a\\u007f\\u009b2J'],
  ['a'.repeat(300), `${'a'.repeat(200)}…`],
])('%j', (key, expected) => {
  expect(printable(key)).toBe(expected);
});
