import { expect, test } from 'vitest';
import { queueDrops } from '../../../src/host/device-drops.ts';

const DEVICES = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
corduroy0: 100 1 0 7 0 0 0 0 200 2 0 32430 0 0 0 0
`;

test('reads what the queue of a device dropped', () => {
  expect(queueDrops('corduroy0', DEVICES)).toBe(32_430);
  expect(queueDrops('lo', DEVICES)).toBe(12);
  expect(queueDrops('corduroy', DEVICES)).toBeUndefined();
  expect(queueDrops('lo')).toBeTypeOf('number');
});
