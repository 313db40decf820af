import { describe, expect, test } from 'vitest';
import { Patience } from '../../../src/store/etcd/patience.ts';

describe('how long etcd is waited for', () => {
  test('short at first, twice as long after each request that ran out, up to the longest', () => {
    const patience = new Patience(5000);
    const waited = [0, 0, 0, 0].map(() => {
      const { ms } = patience;
      patience.ranOut(ms);
      return ms;
    });
    expect(waited).toEqual([2000, 4000, 5000, 5000]);
  });

  test('requests that run out together count once', () => {
    const patience = new Patience(5000);
    patience.ranOut(2000);
    patience.ranOut(2000);
    expect(patience.ms).toBe(4000);
  });

  test('a quick answer makes it short again, a slow one does not', () => {
    const patience = new Patience(5000);
    patience.ranOut(2000);
    patience.answered(2500);
    expect(patience.ms).toBe(4000);
    patience.answered(30);
    expect(patience.ms).toBe(2000);
  });

  test('never longer than it may be', () => {
    expect(new Patience(1000).ms).toBe(1000);
  });
});
