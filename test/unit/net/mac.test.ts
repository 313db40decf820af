import { expect, test } from 'vitest';
import { isUnicastMac, localMac, parseMac } from '../../../src/net/mac.ts';

test.each<[string, string | undefined]>([
  ['c6:d2:32:6f:8f:44', 'c6:d2:32:6f:8f:44'],
  ['C6:D2:32:6F:8F:44', 'c6:d2:32:6f:8f:44'],
  ['c6-d2-32-6f-8f-44', undefined],
  ['c6:d2:32:6f:8f', undefined],
  ['c6:d2:32:6f:8f:44:55', undefined],
  ['c6:d2:32:6f:8f:4g', undefined],
  ['c6:d2:32:6f:8f:44\n', undefined],
  ['', undefined],
])('parseMac(%j)', (text, expected) => {
  expect(parseMac(text)).toBe(expected);
});

test.each<[string, boolean]>([
  ['02:00:00:00:00:01', true],
  ['00:00:00:00:00:01', true],
  ['00:00:00:00:00:00', false],
  ['01:00:5e:00:00:01', false],
  ['33:33:00:00:00:01', false],
  ['ff:ff:ff:ff:ff:ff', false],
])('isUnicastMac(%s): %s', (mac, expected) => {
  expect(isUnicastMac(mac)).toBe(expected);
});

test('localMac: locally administered, unicast, the rest of the seed as it is', () => {
  expect(localMac(Uint8Array.of(0xff, 1, 2, 3, 4, 5, 6))).toBe('fe:01:02:03:04:05');
  expect(localMac(Uint8Array.of(0x00, 1, 2, 3, 4, 5))).toBe('02:01:02:03:04:05');
});
