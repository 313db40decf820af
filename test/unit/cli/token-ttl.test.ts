import { expect, test } from 'vitest';
import { tokenTtl } from '../../../src/cli/token-ttl.ts';

test.each([
  ['30m', 1800],
  ['24h', 86_400],
  ['7d', 604_800],
  ['90s', 90],
])('%s is %i seconds', (text, seconds) => {
  expect(tokenTtl(text)).toBe(seconds);
});

test.each(['', '24', 'h', '1.5h', '-1h', '30s', '366d', '1h30m', '1w'])('%j is refused', (text) => {
  expect(() => tokenTtl(text)).toThrow(/30m, 24h or 7d/);
});
